"""Values of JSON records as figures that people read; what is absent is shown as a dash."""

import math
import re
from collections.abc import Sequence
from typing import Any

from sartor.base.console import format_seconds

BARS = "▁▂▃▄▅▆▇█"


def number(value: Any) -> float | None:
    """A finite number, else None (JSON may hold null, and Python writes NaN)."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value or []]


def interval(record: dict[str, Any]) -> tuple[float | None, float | None]:
    low, high = record.get("ci") or (None, None)
    return number(low), number(high)


def short_seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.2g} s" if value < 10 else f"{value:.0f} s"


def duration(value: float | None) -> str:
    return "—" if value is None else format_seconds(value)


def dollars(value: float | None) -> str:
    """Cents from ten cents on, below that two figures that count."""
    if value is None:
        return "—"
    return f"${value:,.2f}" if value >= 0.1 else "$0" if value == 0 else f"${value:.{1 - _exponent(value)}f}"


def _exponent(value: float) -> int:
    """The power of ten of the first figure that counts: -2 for 0.031."""
    return int(f"{value:.1e}".partition("e")[2])


def size(value: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if round(value) < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB" if round(value) < 1000 else f"{value:,.0f} GB"


def in_points(share: float) -> str:
    """A difference in points of 100, without its sign; small ones with one decimal."""
    points = abs(100 * share)
    return f"{points:.1f}" if 0 < points < 1 else f"{points:.0f}"


def signed(points: float, digits: int = 1) -> str:
    """A difference with its sign, `+7.0` or `−7.0`; nothing but zeros has none."""
    text = f"{abs(points):.{digits}f}"
    return text if float(text) == 0 else f"{'+' if points > 0 else '−'}{text}"


def sparkline(values: Sequence[float], width: int = 48) -> str:
    """The values as a line of text, `█▆▃▂▁`: each sign is the mean of a stretch; without differences it is flat."""
    count = min(width, len(values))
    stretches = [values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count)]
    means = [sum(stretch) / len(stretch) for stretch in stretches]
    low, high = min(means, default=0.0), max(means, default=0.0)
    top = len(BARS) - 1
    return "".join(BARS[round(top * (mean - low) / (high - low))] if high > low else BARS[0] for mean in means)


def plain(value: Any) -> str:
    """A value of the record in words: mappings and lists become comma-separated."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "—" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def visible(text: str) -> str:
    """Control characters and lone surrogates, which no XML may hold, as escapes that can be seen."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", lambda match: repr(match[0])[1:-1], text)
