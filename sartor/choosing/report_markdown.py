"""The report as Markdown, for a terminal: the same words as the page."""

import re
from collections.abc import Sequence
from typing import Any

from sartor.choosing.report_lines import COLUMNS, Line
from sartor.reporting.figures import visible

ROWS_SHOWN = 12


def _escaped(text: Any) -> str:
    """Text that Markdown shows as it is, on one line."""
    one_line = re.sub(r"\s+", " ", visible(re.sub(r"[\t\r\n]", " ", str(text))))
    return re.sub(r"([\\`*\[\]|])", r"\\\1", one_line).replace("<", "&lt;")


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table with everything in its cells escaped; empty without rows."""
    lines = [headings, ["---"] * len(headings), *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) if rows else ""


def markdown(page: dict[str, Any]) -> str:
    changes = " ".join(page["changes"])
    said = (("Why", page["why"]), ("How sure", page["sure"]), ("What would change it", changes))
    blocks = [
        f"# {_escaped(page['task'])}: {_escaped(page['headline'])}",
        f"**{page['verdict'].capitalize()}.** {_escaped(page['meaning'])}",
        *[f"**{name}.** {_escaped(text)}" for name, text in said if text],
        *([f"**In exact terms.** {_escaped(page['exactly'])}"] if page["exactly"] else []),
        *([f"**Serve it**\n\n    {visible(page['serve'])}"] if page["serve"] else []),
        *_markdown_paths(page["lines"]),
        *_section("Read this with care", _bullets(page["cautions"])),
        *_section("Each pair compared", _bullets([pair["words"] for pair in page["comparisons"]]), _table(
            ("Pair", "Points", "95 % interval", "p", "p after Holm", "Test"),
            [[pair[key] for key in ("pair", "difference", "interval", "p", "p_adjusted", "test")]
             for pair in page["comparisons"]])),
        *_section("Tried on the dev questions", _table(("Path", "Setting", "Dev score", "Chosen"), [
            (line.title, setting, score, "◆ chosen" if chosen else "")
            for line, settings in page["tried"] for setting, score, chosen in settings])),
        *_markdown_answers(page),
        *_section("How it was measured", _table(("What", "Value", "How"), page["method"])),
        *_section("Words", "\n".join(f"- **{term}.** {words}" for term, words in page["glossary"])),
    ]
    return "\n\n".join(blocks) + "\n"


def _section(title: str, *blocks: str) -> list[str]:
    """A heading and its blocks; nothing at all where all of them are empty."""
    return [f"## {title}", *filter(None, blocks)] if any(blocks) else []


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {_escaped(text)}" for text in texts)


def _markdown_paths(lines: Sequence[Line]) -> list[str]:
    bars = ["" if line.score is None else "█" * round(line.score / 5) + "░" * (20 - round(line.score / 5))
            for line in lines]
    scores = [(line.title, bar, _cell(line.cells[0]), f"◆ {line.status}" if line.marked else line.status)
              for line, bar in zip(lines, bars, strict=True)]
    costs = [(line.title, line.name, *map(_cell, line.cells[1:]), line.description) for line in lines]
    return [_table(("Path", "0 to 100", "Score (95 % interval)", "Verdict"), scores),
            *_section("All paths", _table(("Path", "Name", *COLUMNS[1:], "What it is"), costs))]


def _markdown_answers(page: dict[str, Any]) -> list[str]:
    rows = [row for row in page["rows"] if row["kind"] == "differ"][:ROWS_SHOWN]
    cells = [(_short(row["question"]), _short(" / ".join(row["accepted"])),
              *[f"{answer['sign']} {answer['word']}: {_short(answer['text'])}" for answer in row["answers"]])
             for row in rows]
    labels = [_escaped(answer["label"]) for row in rows[:1] for answer in row["answers"]]
    shown = (f"{len(rows)} of {page['num_rows']:,} test questions, long texts shortened; `report.html` shows "
             "more, and all are in `answers/`.")
    table = _table(("Question", "Accepted", *labels), cells)
    return _section("Where answers differ", shown, table) if rows else []


def _cell(cell: tuple[str, str]) -> str:
    figure, remark = cell
    return f"{figure} ({remark})" if remark else figure


def _short(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:89]}…"
