"""Numbers and JSON values read out of free text, as models write them."""

import json
import math
import re
from typing import Any

_DIGITS = r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
_SIGN = r"[-−+]?(?:[$€£¥]\s?)?[-−+]?"
NUMBER = re.compile(
    rf"(?<![\w./])(?P<sign>{_SIGN})(?P<above>{_DIGITS})\s?/\s?(?P<below>{_DIGITS})(?!\s?/|\d)"
    rf"|(?<![\w.])(?P<plain_sign>{_SIGN})(?P<plain>{_DIGITS}(?:[eE][-+]?\d{{1,4}})?)"
)


def last_number(text: str) -> float | None:
    """The last number in `text`, or None.

    Read are `1,234.5`, `$3`, `-2`, `.5`, `1e-3` and simple fractions such as `3/4`. A % sign is a unit like
    any other (50% is 50); digits inside a word (H2O) are no number; a hyphen after a digit (3-5) or before a
    space is no minus.
    """
    values = (_value(match) for match in NUMBER.finditer(text))
    return next((value for value in reversed(list(values)) if math.isfinite(value)), None)


def _value(match: re.Match[str]) -> float:
    value = float((match["above"] or match["plain"]).replace(",", ""))
    below = float((match["below"] or "1").replace(",", ""))
    negative = any(minus in (match["sign"] or match["plain_sign"] or "") for minus in "-−")
    return math.nan if below == 0 else (-value if negative else value) / below


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
