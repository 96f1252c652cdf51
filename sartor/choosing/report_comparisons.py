"""How each pair of paths compares, in plain words and in numbers."""

from typing import Any

from sartor.choosing.labels import label, title
from sartor.reporting.figures import in_points, interval, number


def comparison(pair: dict[str, Any], margin: Any) -> dict[str, str]:
    """One pair in plain words (the better path first) and in numbers; `difference` and `ci` are a minus b."""
    a, b, difference = str(pair["a"]), str(pair["b"]), number(pair.get("difference"))
    low, high = interval(pair)
    if difference is not None and difference < 0:
        a, b, difference = b, a, -difference
        low, high = (None if high is None else -high), (None if low is None else -low)
    start, second = title(a), label(b)
    adjusted = number(pair.get("p_adjusted"))
    p = number(pair.get("p")) if adjusted is None else adjusted
    chance = "" if p is None else f"; {_chance(p)}"
    limit = number(margin)
    if difference is None or low is None or high is None:
        words = f"{start} and {second} could not be compared."
    elif limit is not None and -limit <= low and high <= limit:
        words = f"{start} and {second} are equally good within the margin of {in_points(limit)} points."
    elif low > 0 and p is not None and p < 0.05:
        words = f"{start} is {_range(low, high)} points better than {second}{chance}."
    elif low > 0:
        words = f"{start} looks {_range(low, high)} points better than {second}; this is not proven{chance}."
    else:
        words = (f"{start} and {second} cannot be told apart: the first may be from {in_points(low)} points "
                 f"worse to {in_points(high)} points better{chance}.")
    return {
        "words": words,
        "difference": "—" if difference is None else f"{100 * difference:+.1f}",
        "interval": "—" if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}",
        "p": _p(number(pair.get("p"))), "p_adjusted": _p(adjusted), "test": str(pair.get("test") or "—"),
        "pair": f"{start} minus {second}",
    }


def _range(low: float, high: float) -> str:
    least, most = in_points(low), in_points(high)
    return f"about {least}" if least == most else f"{least} to {most}"


def _p(p: float | None) -> str:
    return "—" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _chance(p: float) -> str:
    if p < 0.001:
        return "chance would do this in fewer than 1 in 1,000 tries"
    if p < 0.1:
        return f"chance would do this in about 1 in {float(f'{1 / p:.2g}'):,.0f} tries"
    return f"chance would do this in about {100 * p:.0f} of 100 tries"
