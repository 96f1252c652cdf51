"""Telephone numbers: in international form, in the usual national groupings, or any grouping beside a word for them."""

import re
from collections.abc import Iterator

from sartor.data.filters.personal_data.detector import Detector, Span, digits_of, has_cue

EXTENSION = r"(?:[ ,]{0,2}(?:x|ext\.?|extension) ?\d{1,5})?"
END = r"(?![\w]|[.,:/-]\d|%)"
SHAPES = re.compile(
    r"(?<![\w.+/=-])(?:"
    rf"(?:\+|00(?=[1-9]\d?\d?[ .(/-]))[1-9]\d{{0,2}}[ ./-]?(?:\(\d{{1,4}}\)[ ./-]?)?\d{{1,9}}"
    rf"(?:[ ./-]\d{{2,9}}){{0,5}}{EXTENSION}"
    rf"|(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d([ .-]))[2-9]\d\d(?:[.-]|\1)\d{{4}}{EXTENSION}"  # North America
    r"|0[1-9](?:([ .-])\d\d)(?:\2\d\d){3}"  # France
    r"|0\d{1,4}[ /-]\d{3,4}(?:[ -]\d{2,4}){1,2}|0\d{3} \d{6,7}"  # most of Europe, Australia
    rf"|\(0\d{{1,4}}\) ?\d{{3,8}}(?:[ -]\d{{2,5}}){{0,2}}"
    rf"){END}",
    re.ASCII,
)
LOOSE = re.compile(rf"(?<![\w.+/=-])[(+]?\d(?:(?:[ ().-]{{0,2}}|\)?/)\d){{6,14}}{EXTENSION}{END}", re.ASCII)
BEHIND_AREA_CODE = re.compile(r"(?:\+|\(?0\d\d)[\d ().-]{0,9}/[^/]*\Z", re.ASCII)  # where the one slash may stand
CUE_BEFORE = re.compile(
    r"\b(?:tele?(?:ph?one?|fono?|fon|fax)?s?|t[ée]l(?:[ée]phone|efoon)?|(?:tele|cell?|mobile?|home|office|work|smart)?"
    r"[ -]?phones?|cell(?:ular)?|m[óo]vil|mobile|handy|rufnummer|fax|whatsapp|hotline|desk|call(?: ?(?:me|us|him|her"
    r"|them))?"
    r"|dial|text (?:me|us)|sms|ring|pager|answering at|contact number|registered(?: number)?|messages to)\b"
    r"(?:[ \t]*(?:no|nr|num|number|nummer)\b\.?)?[^\n\d]{0,12}\n?[^\n\d]{0,4}\Z",
    re.IGNORECASE,
)
CUE_AFTER = re.compile(r"[ \t]{0,2}[-(]?[ \t]?(?:office|mobile|fax|cell|home|work|desk|phone|tel)\b", re.IGNORECASE)
DATE = re.compile(
    r"(?:19|20)\d\d[ .-]?\d\d[ .-]?\d\d(?!\d)|\d\d[ .-]\d\d[ .-](?:19|20)\d\d|(?:19|20)\d\d-(?:19|20)\d\d", re.ASCII
)
FICTION = re.compile(r"(?:\d{3})?55501\d\d\Z")  # North American numbers kept for fiction; stand-ins are of them
MIN_DIGITS, MAX_DIGITS = 7, 15  # ITU-T E.164 allows 15


def find_phone_numbers(text: str) -> Iterator[Span]:
    end = 0
    for match in LOOSE.finditer(text):
        for span in _in_candidate(text, match.span()):
            if span[0] >= end:
                end = span[1]
                yield span


def _in_candidate(text: str, candidate: Span) -> Iterator[Span]:
    """The numbers in a stretch of digits and separators: what has a known shape, else all of it beside a cue."""
    start, end = candidate
    found = False
    for match in SHAPES.finditer(text, start, end):
        if _may_be_phone(match[0]):
            found = True
            yield match.span()
    if not found and _may_be_phone(text[start:end]) and _is_cued(text, candidate):
        yield candidate


def _may_be_phone(written: str) -> bool:
    digits = digits_of(re.split("[xe]", written)[0])
    long_enough = MIN_DIGITS <= len(digits) <= MAX_DIGITS and len(set(digits)) > 1
    is_other = DATE.fullmatch(written) or ("/" in written and not BEHIND_AREA_CODE.match(written))
    return long_enough and not is_other and not FICTION.search(digits[-10:])


def _is_cued(text: str, span: Span) -> bool:
    return has_cue(CUE_BEFORE, text, span, before=48) or bool(CUE_AFTER.match(text, span[1]))


PHONE_NUMBER = Detector(
    "phone_number",
    r"\d[ ()./-]{0,2}\d[ ()./-]{0,2}\d[ ()./-]{0,2}\d[ ()./-]{0,2}\d[ ()./-]{0,2}\d[ ()./-]{0,2}\d",
    find_phone_numbers,
)
