"""Dates of birth: a full date after a word for birth. A date alone says nothing of a person and is left."""

import re
from collections.abc import Iterator

from sartor.data.filters.personal_data.detector import Detector, Span

MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
FULL_DATE = (
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {MONTH}\.?,? \d{{4}}|{MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})"
)
BIRTH = (
    r"(?:date of birth|birth[ -]?da(?:te|y)|\bd\.? ?o\.? ?b\b\.?|\bborn\b(?: on)?|geburtsdatum|geboren(?: am)?"
    r"|date de naissance|née? le|fecha de nacimiento|data di nascita|nat[oa] il|data de nascimento)"
)
PATTERN = re.compile(
    rf"(?i){BIRTH}[^\w\n]{{0,4}}(?:(?:is|was|it's|it is|on|:)[^\w\n]{{0,3}}){{0,3}}({FULL_DATE})(?!\d)"
)


def find_dates_of_birth(text: str) -> Iterator[Span]:
    return (match.span(1) for match in PATTERN.finditer(text))


DATE_OF_BIRTH = Detector(
    "date_of_birth",
    r"(?i:birth|born|\bd\.? ?o\.? ?b|geb|naissance|née? le|nacimiento|nascita|nat[oa] il|nascimento)",
    find_dates_of_birth,
    checkable=False,
)
