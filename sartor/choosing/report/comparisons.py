"""How each pair of paths compares, in plain words and in numbers."""

from collections.abc import Callable
from typing import Any

from sartor.choosing.labels import label, title
from sartor.choosing.report.blocks import Section, row, table
from sartor.choosing.report.lines import Line
from sartor.choosing.verdict.points import points
from sartor.reporting.figures import in_points, interval, number, signed


def comparisons_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    """In words only the pairs with the path that the verdict names; the others fill a table."""
    pairs = choice.get("comparisons") or []
    if not pairs:
        return None
    margin = (choice.get("how") or {}).get("margin")
    told = [comparison(pair, margin) for pair in pairs]
    about = [
        words
        for pair, words in zip(pairs, told, strict=True)
        if any(line.marked for line in lines if line.record["name"] in (pair["a"], pair["b"]))
    ]
    columns = ("Pair", "Points", "95 % interval", "p", "p after Holm", "Test")
    keys = ("pair", "difference", "interval", "p", "p_adjusted", "test")
    rows = [row(*(words[key] for key in keys)) for words in told]
    return Section(
        "pairs",
        "Each pair compared",
        tuple(words["words"] for words in about or told),
        tables=table("Differences in numbers", columns, rows, folded="All pairs in numbers"),
    )


def comparison(pair: dict[str, Any], margin: Any, beginning: Callable[[str], str] = title) -> dict[str, str]:
    """One pair in plain words (the better path first) and in numbers; `difference` and `ci` are a minus b.
    `beginning` names the first path: as a sentence starts, or `label` where it goes on."""
    a, b, difference = str(pair["a"]), str(pair["b"]), number(pair.get("difference"))
    low, high = interval(pair)
    if difference is not None and difference < 0:
        a, b, difference = b, a, -difference
        low, high = (None if high is None else -high), (None if low is None else -low)
    start, second = beginning(a), label(b)
    adjusted = number(pair.get("p_adjusted"))
    p = number(pair.get("p")) if adjusted is None else adjusted
    chance = "" if p is None else f"; {_chance(p)}"
    limit = number(margin)
    if difference is None or low is None or high is None:
        words = f"{start} and {second} could not be compared."
    elif limit is not None and -limit <= low and high <= limit:
        words = f"{start} and {second} are equally good within the margin of {points(limit)}."
    elif low > 0 and p is not None and p < 0.05:
        words = f"{start} is {_range(low, high)} points better than {second}{chance}."
    elif low > 0:
        words = f"{start} looks {_range(low, high)} points better than {second}; this is not proven{chance}."
    else:
        words = (
            f"{start} and {second} cannot be told apart: the first may be from {in_points(low)} points "
            f"worse to {in_points(high)} points better{chance}."
        )
    return {
        "words": words,
        "difference": "—" if difference is None else signed(100 * difference),
        "interval": "—" if low is None or high is None else f"{signed(100 * low)} to {signed(100 * high)}",
        "p": _p(number(pair.get("p"))),
        "p_adjusted": _p(adjusted),
        "test": str(pair.get("test") or "—"),
        "pair": f"{title(a)} minus {second}",
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
