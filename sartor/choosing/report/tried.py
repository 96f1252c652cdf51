"""What was tried on the dev questions, and what was kept of it."""

from typing import Any

from sartor.choosing.report.blocks import Section, Table, row, table
from sartor.choosing.report.lines import Line
from sartor.reporting.figures import number, plain


def tried_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    tables = [each for line in lines for each in _tried(line)]
    if not tables:
        return None
    count = sum(len(each.rows) for each in tables)
    kept_back = f"{count:,} settings were tried on dev questions, never on test questions."
    return Section("tried", "What was tried", (kept_back,), tables=tuple(tables))


def _tried(line: Line) -> tuple[Table, ...]:
    entries = line.record.get("chosen_on_dev") or []
    rows = []
    for entry in entries:
        score = number(entry.get("dev_score"))
        rows.append(
            row(
                plain(entry.get("setting")),
                "—" if score is None else f"{100 * score:.1f}",
                "◆ chosen" if entry.get("chosen") else "",
                marked=bool(entry.get("chosen")),
            )
        )
    number_of = f"{len(rows)} setting{'s' if len(rows) > 1 else ''}"
    return table(
        f"Settings of {line.label}", ("Setting", "Dev score", "Chosen"), rows, folded=f"{line.title}: {number_of}"
    )
