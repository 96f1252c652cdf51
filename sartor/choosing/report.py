"""The report of a measured choice: `report.html`, one self-contained page, and `report.md` for a terminal.

Both say the same words from one view of `choice.json`. Everything a model, a document or a user wrote is
escaped; the page's security policy allows no script, no remote content and no style but its own.
Beyond its measures a path may carry `description`, `chosen_on_dev`, `truncated_replies` (a share), `excluded`
(the limits it breaks), `bounds` (lowest and highest score, whatever its unscored rows are worth) and `failed`
(why it could not be measured); what is absent is shown as a dash.
`needed_rows` counts test rows in all, as the verdict gives it; people read how many more.
Scores and differences are shares from 0 to 1 in the data and points of 100 in the words.
"""

import os
from pathlib import Path
from typing import Any

from sartor.choosing.charts import Point, scores_chart, trade_chart
from sartor.choosing.report_comparisons import comparison
from sartor.choosing.report_lines import COLUMNS, Line, lines_of, path_of
from sartor.choosing.report_markdown import markdown
from sartor.choosing.report_method import method, tried_settings
from sartor.choosing.report_rows import KINDS, browsed_rows
from sartor.choosing.report_words import GLOSSARY, cautions, headline, how_sure, meaning, verdict_word, why
from sartor.reporting.figures import texts
from sartor.reporting.page import page_bytes, render_page

ROWS_SHOWN = 200


def write_report(choice: dict[str, Any], answers: dict[str, list[dict[str, Any]]], folder: Path) -> Path:
    """Write `report.html` and `report.md` into `folder` (made if absent) and return the page's path.

    `answers[path]` lists `{id, question, accepted, text, score, seconds, finish, passages: [{title, chunk_id,
    text}]}`; a score of None means that the answer could not be scored. The same input gives the same bytes.
    Raises DataError where `choice` has no paths or names one that it does not list.
    """
    page = _page(choice, answers)
    documents = {"report.html": render_page(Path(__file__).with_name("report.html.jinja"), page),
                 "report.md": markdown(page)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents.items():
        unfinished = folder / f".{name}.unfinished"
        unfinished.write_bytes(page_bytes(text))
        os.replace(unfinished, folder / name)
    return folder / "report.html"


def _page(choice: dict[str, Any], answers: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    lines = lines_of(choice, answers)
    marked = next((line for line in lines if line.marked), None)
    how = choice.get("how") or {}
    comparisons = [comparison(pair, how.get("margin")) for pair in choice.get("comparisons") or []]
    names = [path_of(choice, line)["name"] for line in lines]
    rows = browsed_rows({name: answers[name] for name in names if name in answers})
    shown = rows[:ROWS_SHOWN]
    points = [_point(line) for line in lines]
    return {
        "task": choice.get("task") or "task",
        "verdict": verdict_word(choice, lines),
        "meaning": meaning(choice, lines),
        "headline": headline(choice, lines),
        "why": why(choice, lines),
        "exactly": choice.get("why") or "",
        "sure": how_sure(choice, lines),
        "changes": texts(choice.get("would_change")),
        "serve": path_of(choice, marked).get("endpoint") if marked else None,
        "lines": lines,
        "columns": COLUMNS,
        "scores": [scores_chart(points, "scores-wide"), scores_chart(points, "scores-narrow", narrow=True)],
        "trades": [trade_chart(points, "trade-wide"), trade_chart(points, "trade-narrow", narrow=True)],
        "cautions": cautions(choice, lines, how),
        "comparisons": comparisons,
        "tried": [(line, tried_settings(path_of(choice, line))) for line in lines],
        "rows": shown,
        "num_rows": len(rows),
        "kinds": [(kind, words, sum(row["kind"] == kind for row in shown)) for kind, words in KINDS],
        "method": method(choice, how),
        "glossary": GLOSSARY,
    }


def _point(line: Line) -> Point:
    return Point(line.title, line.score, line.low, line.high, line.seconds, line.dollars, line.status,
                 marked=line.marked, barred=bool(line.ruled_out))
