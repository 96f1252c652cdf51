"""The report as Markdown, for a terminal: the page's words, without what the page folds away."""

import re
from collections.abc import Sequence
from typing import Any

from sartor.choosing.report.blocks import Section, Table
from sartor.choosing.report.care import Caution
from sartor.choosing.report.lines import Line
from sartor.choosing.report.page import Page
from sartor.reporting.figures import visible

ROWS_SHOWN = 12
BAR = 20  # signs for 100 points


def _escaped(text: Any) -> str:
    """Text that Markdown shows as it is, on one line."""
    one_line = re.sub(r"\s+", " ", visible(re.sub(r"[\t\r\n]", " ", str(text))))
    return re.sub(r"([\\`*\[\]|])", r"\\\1", one_line).replace("<", "&lt;")


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table with everything in its cells escaped; empty without rows."""
    lines = [
        [_escaped(heading) for heading in headings],
        ["---"] * len(headings),
        *([_escaped(cell) for cell in row] for row in rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) if rows else ""


def markdown(page: Page) -> str:
    said = (("Why", page.why), ("How sure", page.sure), ("What would change it", page.change))
    blocks = [
        f"# {_escaped(page.task)}: {_escaped(page.headline)}",
        f"**{page.verdict.capitalize()}.** {_escaped(page.meaning)}",
        *_heading("Read this with care", _bullets([_caution(each) for each in page.cautions]), page.checked),
        _scores(page.lines),
        *[f"**{name}.** {_escaped(text)}" for name, text in said if text],
        *([f"**Serve it**\n\n    {visible(page.command)}"] if page.command else []),
        *[block for section in page.evidence for block in _section(section)],
        *_answers(page.rows),
        *_section(page.method),
        *(_section(page.card) if page.card else []),
        *_heading("Words", "\n".join(f"- **{term}.** {words}" for term, words in page.glossary)),
    ]
    return "\n\n".join(blocks) + "\n"


def _heading(title: str, *blocks: str) -> list[str]:
    """A heading and its blocks; nothing at all where all of them are empty."""
    return [f"## {title}", *filter(None, blocks)] if any(blocks) else []


def _section(section: Section) -> list[str]:
    return _heading(
        _escaped(section.title),
        _bullets(section.sentences),
        *(block for each in section.tables if not each.folded for block in _captioned(each, section)),
    )


def _captioned(each: Table, section: Section) -> list[str]:
    caption = [f"{_escaped(each.caption)}:"] if len(section.tables) > 1 else []
    return [*caption, _table(each.columns, [[_cell(cell) for cell in row.cells] for row in each.rows])]


def _caution(caution: Caution) -> str:
    ids = ", ".join(caution.rows) + (f" and {caution.more_rows:,} more" if caution.more_rows else "")
    return " ".join(
        filter(None, (caution.what, caution.hint and f"What to do: {caution.hint}", ids and f"Test rows: {ids}."))
    )


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {_escaped(text)}" for text in texts)


def _scores(lines: Sequence[Line]) -> str:
    rows = []
    for line in lines:
        full = round(line.score / 100 * BAR) if line.score is not None else 0
        bar = "" if line.score is None else "█" * full + "░" * (BAR - full)
        rows.append((line.title, bar, _cell(line.cells[0]), f"◆ {line.status}" if line.marked else line.status))
    return _table(("Path", "0 to 100", "Score (95 % interval)", "Verdict"), rows)


def _answers(browsed: Sequence[dict[str, Any]]) -> list[str]:
    rows = [row for row in browsed if row["kind"] == "differ"][:ROWS_SHOWN]
    cells = [
        (
            _short(row["question"]),
            _short(" / ".join(row["accepted"])),
            *[f"{answer['sign']} {answer['word']}: {_short(answer['text'])}" for answer in row["answers"]],
        )
        for row in rows
    ]
    labels = [answer["label"] for row in rows[:1] for answer in row["answers"]]
    shown = (
        f"{len(rows)} of {len(browsed):,} test questions, long texts shortened; `report.html` shows "
        "more, and all are in `answers/`."
    )
    return _heading("Where answers differ", shown, _table(("Question", "Accepted", *labels), cells)) if rows else []


def _cell(cell: tuple[str, str]) -> str:
    figure, remark = cell
    return f"{figure} ({remark})" if remark else figure


def _short(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:89]}…"
