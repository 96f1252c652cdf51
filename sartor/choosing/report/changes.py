"""What would change the verdict: other limits, another margin, other prices."""

from itertools import groupby
from typing import Any

from sartor.choosing.labels import title
from sartor.choosing.report.blocks import Section, row, table
from sartor.choosing.report.lines import Line
from sartor.choosing.verdict.points import points
from sartor.reporting.figures import dollars, number, plain, texts

WHAT = {"margin": "Margin", "machine_price": "Machine price", "api_price": "Price of the remote model"}


def changes_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    changes, varied = texts(choice.get("would_change")), choice.get("sensitivity") or []
    if not changes and not varied:
        return None
    rows = [
        row(
            WHAT.get(str(entries[0].get("what")), str(entries[0].get("what"))),
            _span(entries),
            title(str(chosen)) if chosen else "none",
            word or "—",
            "" if chosen == choice.get("choice") else "another choice",
        )
        for (chosen, word), entries in _runs(varied)
    ]
    columns = ("If this were", "So much", "Choice", "Verdict", "Changed")
    tables = table("The choice at other margins and prices", columns, rows)
    return Section("changes", "What would change it", (*changes, *_steady(choice, varied)), tables=tables)


def _runs(varied: list[dict[str, Any]]) -> list[tuple[tuple[Any, str], list[dict[str, Any]]]]:
    """Neighbouring values of one thing at which choice and verdict are the same, together."""
    runs = groupby(varied, key=lambda entry: (entry.get("what"), entry.get("choice"), str(entry.get("verdict") or "")))
    return [((chosen, word), list(entries)) for (_, chosen, word), entries in runs]


def _span(entries: list[dict[str, Any]]) -> str:
    first, last = _value(entries[0]), _value(entries[-1])
    return first if first == last else f"{first} to {last}"


def _steady(choice: dict[str, Any], varied: list[dict[str, Any]]) -> list[str]:
    """Whether the choice stays the same over all margins and prices that were tried."""
    if not varied:
        return []
    same = sum(entry.get("choice") == choice.get("choice") for entry in varied)
    places = "margins and prices in the table"
    if choice.get("choice") is None:
        none = f"any of the {same}" if same == len(varied) else f"{same} of the {len(varied)}"
        return [f"There is no choice at {none} {places}."]
    alike = f"all {same}" if same == len(varied) else f"{same} of the {len(varied)}"
    return [f"The choice is the same at {alike} {places}."]


def _value(entry: dict[str, Any]) -> str:
    value = number(entry.get("value"))
    if value is None:
        return plain(entry.get("value"))
    if entry.get("what") == "margin":
        return points(value)
    if entry.get("what") == "machine_price":
        return f"{dollars(value)} an hour"
    return f"{value:g} times today's" if entry.get("what") == "api_price" else f"{value:g}"
