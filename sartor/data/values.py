"""Numbers and JSON values read out of free text, as models write them."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

_SPACES = " \u00a0\u2007\u2009\u202f"
_MARKS = (",", r"\{,\}", r"\\,", "['’]", "_", f"[{_SPACES}]")
_GROUPED = "|".join(rf"(?!0)\d{{1,3}}(?:{mark}\d{{3}})+(?!\d)" for mark in _MARKS)
_DIGITS = rf"(?:(?:{_GROUPED}|\d+)(?:\.\d+)?|\.\d+)"
_SIGN = r"[-−+]?(?:[$€£¥]\s?)?[-−+]?"
_MORE = r"(?:[.,]\d+)"
NUMBER = re.compile(
    rf"(?<![\w./])(?P<sign>{_SIGN})(?:(?P<whole>\d{{1,3}})[{_SPACES}](?=\d{{1,2}}\s?/))?"
    rf"(?P<above>{_DIGITS})\s?/\s?(?P<below>{_DIGITS})(?!\s?/|\d|{_MORE})"
    rf"|(?<![\w.])(?:{_SIGN})(?P<unclear>(?>{_DIGITS}){_MORE}+)"
    rf"|(?<![\w.])(?P<plain_sign>{_SIGN})(?P<plain>{_DIGITS}(?:[eE][-+]?\d{{1,4}})?)"
)


def last_number(text: str) -> Fraction | None:
    """The last number in `text`, exactly; None where there is none, and where the last one is unclear.

    Read are `1,234.5`, `$3`, `-2`, `.5`, `1e-3`, simple fractions such as `3/4` and mixed ones such as `1 3/4`. Groups
    of three digits may be parted by a comma, a space (also a no-break or a thin one), an apostrophe, an underscore or
    LaTeX's thin space and `{,}`: so `5 100` is taken for 5,100, never for a list. A % sign is a unit like any other
    (50% is 50); digits inside a word (H2O) are no number; a hyphen after a digit (3-5) or before a space is no minus.
    """
    match = next(_from_the_last(text), None)
    return _value(match) if match else None


def unclear_number(text: str) -> str | None:
    """The last number in `text` if its points and commas can be read in several ways, such as `1.234.567` (groups or
    parts), `3,14` (a decimal or a list) and `1.234,5`."""
    match = next(_from_the_last(text), None)
    return match["unclear"] if match else None


def _from_the_last(text: str) -> Iterator[re.Match[str]]:
    """Unclear numbers, and clear ones that have a value."""
    for match in reversed(list(NUMBER.finditer(text))):
        if match["unclear"] or _value(match) is not None:
            yield match


def _value(match: re.Match[str]) -> Fraction | None:
    """None for an unclear number, a division by nought, and what is beyond floating-point numbers."""
    if match["unclear"]:
        return None
    written = (match["above"] or match["plain"], match["below"] or "1", match["whole"] or "0")
    above, below, whole = (Fraction(Decimal(re.sub(r"[^\d.eE+-]", "", digits))) for digits in written)
    if below == 0:
        return None
    value = whole + above / below
    try:
        float(value)
    except OverflowError:
        return None
    negative = any(minus in (match["sign"] or match["plain_sign"] or "") for minus in "-−")
    return -value if negative else value


NOT_FOUND = object()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


JSON_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def first_json_value(text: str) -> Any:
    """The whole text or its first ``` fence as JSON, else the first object or array in it, else NOT_FOUND.

    A bare number or string inside prose is no value: only an object or array can be told from prose.
    """
    fence = re.search(r"```[\w-]*\s*(.*?)```", text, re.DOTALL)
    try:
        for whole in (text, fence[1] if fence else ""):
            value = json_value_at(whole.strip(), 0, to_end=True)
            if value is not NOT_FOUND:
                return value
        starts = (match.start() for match in re.finditer(r"[{\[]", text))
        values = (json_value_at(text, start) for start in starts)
        return next((value for value in values if value is not NOT_FOUND), NOT_FOUND)
    except RecursionError:
        return NOT_FOUND


def json_value_at(text: str, start: int, to_end: bool = False) -> Any:
    """The JSON value at `start`, with `to_end` only if nothing follows it; else NOT_FOUND."""
    try:
        value, end = JSON_DECODER.raw_decode(text, start)
    except ValueError:
        return NOT_FOUND
    return NOT_FOUND if to_end and end != len(text) else value


def same_json(a: Any, b: Any) -> bool:
    """Structural equality: order of keys does not matter, 1 equals 1.0, true does not equal 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_json(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_json, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b
