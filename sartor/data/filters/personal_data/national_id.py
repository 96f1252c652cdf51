"""Numbers by which a state knows a person: the United States' social security number, and those of fifteen others.

Where the number is no more than a few digits, or its check digit lets one in ten pass, its name must stand before it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sartor.data.filters.personal_data.checksums import iso_7064_mod_11_10, luhn, verhoeff, weighted
from sartor.data.filters.personal_data.detector import Detector, Span, digits_of, has_cue, is_years

US_SHAPE = re.compile(r"(?<![\w-])(?!000|666)\d{3}([- ]?)(?!00)\d{2}\1(?!0000)\d{4}(?![\w]|-\w)", re.ASCII)
US_CUE = re.compile(r"\bssn\b|social security|\bitin\b|taxpayer id", re.IGNORECASE)


def find_us_ssns(text: str) -> Iterator[Span]:
    """Also the tax numbers (ITIN), which are in the range 900 to 999. Without dashes only after their name."""
    for match in US_SHAPE.finditer(text):
        told_by_shape = match[1] == "-" and (match[0][0] != "9" or match[0][4] in "56789")
        if told_by_shape or has_cue(US_CUE, text, match.span()):
            yield match.span()


@dataclass(frozen=True)
class Scheme:
    """`shape` matches it, `holds` checks it (given without spaces, dots and dashes), `cue` must stand before it."""

    country: str
    shape: str
    holds: Callable[[str], bool]
    cue: str = ""


def _brazil(digits: str) -> bool:
    if len(set(digits)) == 1:
        return False
    first = weighted(digits, range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(digits, range(11, 1, -1)) * 10 % 11 % 10
    return digits[9:] == f"{first}{second}"


def _china(text: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[weighted(text, weights) % 11] == text[17].upper()


def _finland(text: str) -> bool:
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(digits_of(text[:-1])) % 31] == text[-1]


def _france(text: str) -> bool:
    number = text[:13].upper().replace("2A", "19").replace("2B", "18")
    return 97 - int(number) % 97 == int(text[13:])


def _italy(text: str) -> bool:
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    values = [int(character, 36) for character in text]
    values = [value - 10 if value > 9 else value for value in values]
    total = sum(odd[value] if place % 2 == 0 else value for place, value in enumerate(values[:15]))
    return total % 26 == values[15]


def _spain(text: str) -> bool:
    number = text[:-1].upper().translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1].upper()


def _australia(digits: str) -> bool:
    return weighted(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def _korea(digits: str) -> bool:
    return (11 - weighted(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10 == int(digits[12])


def _netherlands(digits: str) -> bool:
    return weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _poland(digits: str) -> bool:
    return (10 - weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10 == int(digits[10])


def _sweden(digits: str) -> bool:
    return luhn(digits[-10:])


def _health_service(digits: str) -> bool:
    return (11 - weighted(digits, range(10, 1, -1)) % 11) % 11 == int(digits[9])


def _india(digits: str) -> bool:
    return verhoeff(digits) and not is_years(digits)


def _any(text: str) -> bool:
    return True


DATE = r"(?:\d\d)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
SCHEMES = (
    Scheme("Australia", r"\d{3} ?\d{3} ?\d{3}", _australia, r"\btfn\b|tax file"),
    Scheme("Brazil", r"\d{3}\.\d{3}\.\d{3}-\d{2}", _brazil),
    Scheme("Canada", r"\d{3}([ -]?)\d{3}\1\d{3}", luhn, r"\bsin\b|social insurance|\bnas\b"),
    Scheme("China", rf"[1-9]\d{{5}}(?:19|20){DATE}\d{{3}}[\dXx]", _china),
    Scheme("Finland", r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d[-+A-FU-Y]\d{3}[0-9A-Y]", _finland),
    Scheme("France", r"[12] ?\d\d ?(?:0[1-9]|1[0-2]|[2-4]\d) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", _france),
    Scheme("Germany", r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}", iso_7064_mod_11_10, r"steuer|tax id|\btin\b|idnr"),
    Scheme("India", r"[2-9]\d{3} \d{4} \d{4}", _india),
    Scheme("India (written in one)", r"[2-9]\d{11}", verhoeff, r"aadha?ar|\buid\b"),
    Scheme("India (PAN)", r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]", _any, r"\bpan\b|permanent account"),
    Scheme("Italy", r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]", _italy),
    Scheme("Korea", rf"{DATE}-[1-8]\d{{6}}", _korea),
    Scheme("Netherlands", r"\d{4}\.?\d{2}\.?\d{3}", _netherlands, r"\bbsn\b|burgerservice|sofinummer"),
    Scheme("Poland", r"\d{11}", _poland, r"pesel"),
    Scheme("Spain", r"(?:\d{8}|[XYZ]\d{7})-?[A-HJ-NP-TV-Z]", _spain),
    Scheme("Sweden", rf"(?:19|20)?{DATE}[-+]\d{{4}}", _sweden),
    Scheme(
        "United Kingdom",
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]",
        _any,
        r"\bni\b|\bnino\b|national insurance",
    ),
    Scheme("United Kingdom (NHS)", r"\d{3}([ -]?)\d{3}\1\d{4}", _health_service, r"\bnhs\b"),
)
NEAR = 40  # characters within which a number's name stands before it
SEPARATORS = str.maketrans("", "", " .-+")


def _bounded(shape: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.+-])(?:{shape})(?![\w]|[.-]\d)", re.ASCII)


COMPILED = [(scheme, _bounded(scheme.shape), re.compile(scheme.cue, re.IGNORECASE)) for scheme in SCHEMES]
UNCUED = _bounded("|".join(scheme.shape for scheme in SCHEMES if not scheme.cue))
CUES = "|".join(scheme.cue for scheme in SCHEMES if scheme.cue)
CUED = re.compile(rf"({CUES})(?=.{{0,{NEAR}}}\d\d)", re.IGNORECASE | re.DOTALL)


def find_national_ids(text: str) -> Iterator[Span]:
    end = 0
    for start in sorted(_starts(text)):
        found = _end_of_number(text, start) if start >= end else None
        if found:
            end = found
            yield start, end


def _starts(text: str) -> set[int]:
    """Where a number with a shape of its own begins, or a number of any shape after a name of one."""
    starts = {match.start() for match in UNCUED.finditer(text)}
    for cue in CUED.finditer(text):
        near = text[cue.end() : cue.end() + NEAR]
        starts.update(cue.end() + word.start() for word in WORD_WITH_DIGITS.finditer(near))
    return starts


WORD_WITH_DIGITS = re.compile(r"\b[A-Z]*\d", re.ASCII)


def _end_of_number(text: str, start: int) -> int | None:
    """Where the number that begins here ends, if it is one of some scheme; its check digits must hold."""
    for scheme, shape, cue in COMPILED:
        match = shape.match(text, start)
        told = match and (not scheme.cue or has_cue(cue, text, match.span(), NEAR + 1))
        if match and told and scheme.holds(match[0].translate(SEPARATORS)):
            return match.end()
    return None


US_SSN = Detector("us_ssn", r"\d{3}[- ]?\d{2}[- ]?\d{4}", find_us_ssns)
# A scheme with a cue is hinted at by its cue, one without by its shape.
NATIONAL_ID = Detector(
    "national_id",
    "|".join([rf"(?is:(?:{CUES}).{{0,{NEAR}}}\d\d)", *(s.shape for s in SCHEMES if not s.cue)]),
    find_national_ids,
)
