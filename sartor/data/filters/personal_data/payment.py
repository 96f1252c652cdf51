"""Payment card numbers (Luhn's check digit and an issuer's prefix) and IBANs (length of the country, mod 97)."""

import re
from collections.abc import Iterator

from sartor.data.filters.personal_data.checksums import iso_7064_mod_97, luhn
from sartor.data.filters.personal_data.detector import Detector, Span, digits_of, has_cue, is_years

CARD_SHAPES = re.compile(
    r"(?<![\w.+/=-])(?:\d{12,19}"
    r"|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{3})?"  # 4-4-4-4, and 4-4-4-4-3 of 19 digits
    r"|\d{4}([ -])\d{6}\2\d{4,5})(?![\w]|[.,-]\d)",  # American Express, Diners Club
    re.ASCII,
)
# Prefixes and lengths by issuer: Visa, Mastercard, American Express, Discover, JCB, Diners Club, UnionPay.
ISSUERS = re.compile(
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|(?:2131|1800)\d{11}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|62\d{14}(?:\d{3})?"
)
# Other lengths (Maestro has 12 to 19 digits, old Visa 13) are cards only where a card is spoken of.
CARD_CUE = re.compile(
    r"\bcards?\b|\bcc\b|credit|debit|visa|mastercard|maestro|amex|karte\b|\bcarte\b|tarjeta|cart[aã]o", re.I
)

IBAN_LENGTHS = {
    code: int(length)
    for code, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29BY28CH21CR22CY28CZ24DE22DK18DO28EE20EG29ES24FI18FO18FR27GB22GE22GI23GL18"
        "GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MR27MT31MU30NL18NO15"
        "PK24PL28PS29PT25QA29RO24RS22SA24SC31SD18SE24SI19SK24SM27ST25SV28TL23TN24TR26UA29VA22VG24XK20",
    )
}
IBAN_SHAPE = re.compile(
    r"(?<![\w-])[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?(?![^\W_])", re.ASCII | re.I
)


def find_credit_cards(text: str) -> Iterator[Span]:
    for match in CARD_SHAPES.finditer(text):
        digits = digits_of(match[0])
        if (
            luhn(digits)
            and len(set(digits)) > 1
            and not is_years(digits)
            and (ISSUERS.fullmatch(digits) or has_cue(CARD_CUE, text, match.span(), 60, 20))
        ):
            yield match.span()


def find_ibans(text: str) -> Iterator[Span]:
    place = 0
    while match := IBAN_SHAPE.search(text, place):
        length = IBAN_LENGTHS.get(match[0][:2].upper())
        end = None if length is None else _end_of(match[0], length)
        if end and iso_7064_mod_97(match[0][:end].replace(" ", "")):
            place = match.start() + end
            yield match.start(), place
        else:
            place = match.start() + 1  # words before an IBAN may have its shape


def _end_of(text: str, length: int) -> int | None:
    """Where `length` characters other than spaces end, if a word ends there; None where there are fewer."""
    seen = 0
    for place, character in enumerate(text):
        seen += character != " "
        if seen == length:
            return place + 1 if text[place + 1 : place + 2] in ("", " ") else None
    return None


CREDIT_CARD = Detector(
    "credit_card", r"\d{12}|\d{4}[ -]\d{4}[ -]\d{4}[ -]\d|\d{4}[ -]\d{6}[ -]\d{4}", find_credit_cards
)
IBAN = Detector("iban", r"[A-Za-z]{2}\d{2}[ ]?[A-Za-z0-9]{4}[ ]?[A-Za-z0-9]{4}", find_ibans)
