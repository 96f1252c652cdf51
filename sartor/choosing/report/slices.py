"""Groups of questions, where another path may be the better one."""

from typing import Any

from sartor.choosing.labels import label, title
from sartor.choosing.report.blocks import Section, row, table
from sartor.choosing.report.lines import Line, candidates
from sartor.reporting.figures import interval, number, texts


def slices_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    slices = choice.get("slices") or []
    uncut = str(choice.get("not_sliced") or "")
    if not slices:
        return None
    shown = [
        line for line in candidates(lines) if any(line.record["name"] in (part.get("scores") or {}) for part in slices)
    ]
    rows = []
    for part in slices:
        other = part.get("choice") not in (None, choice.get("choice"))
        named = title(str(part["choice"])) if part.get("choice") else "not settled"
        rows.append(
            row(
                str(part.get("group")),
                f"{part.get('n') or 0:,}",
                (named, "another than for all" if other else ""),
                *(_score(part, line.record["name"]) for line in shown),
            )
        )
    sentences = [str(part["sentence"]) for part in slices if part.get("sentence")]
    if not sentences:
        sentences = [_agreement(choice, slices)]
    return Section(
        "groups",
        "Groups of questions",
        (*sentences, *([uncut] if uncut else [])),
        tables=table("Scores in each group", ("Group", "Questions", "Choice", *(line.title for line in shown)), rows),
    )


def _agreement(choice: dict[str, Any], slices: list[dict[str, Any]]) -> str:
    others = texts([part.get("group") for part in slices if part.get("choice") not in (None, choice.get("choice"))])
    if others:
        return f"Another path is the choice in {', '.join(others)}."
    named = label(str(choice["choice"])) if choice.get("choice") else "any path"
    return f"No group of questions asks for another path than {named}."


def _score(part: dict[str, Any], name: str) -> tuple[str, str]:
    score = number((part.get("scores") or {}).get(name))
    low, high = interval({"ci": (part.get("ci") or {}).get(name)})
    return (
        "—" if score is None else f"{100 * score:.0f}",
        "" if low is None or high is None else f"{100 * low:.0f} to {100 * high:.0f}",
    )
