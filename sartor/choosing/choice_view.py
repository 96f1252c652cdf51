"""A finished choice as data for a page: the verdict and the evidence in the report's own words, and every row."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from sartor.base.errors import DataError
from sartor.choosing.measure import read_answers
from sartor.choosing.report.blocks import Section
from sartor.choosing.report.page import Page, page_of
from sartor.choosing.report.rows import KINDS
from sartor.train.history import read_record


def choice_view(run: Path) -> dict[str, Any]:
    """What the report of the run says, as JSON. DataError when the run has no choice or a file of it is damaged."""
    choice = read_record(run / "choice.json")
    if not choice:
        raise DataError("this run has no choice", where=str(run), hint="finish `sartor choose` first")
    try:
        names = {path["name"] for path in choice["paths"]}  # beside theirs are answers of further trainings
        files = sorted((run / "answers").glob("*.jsonl"))
        answers = {file.stem: read_answers(file) for file in files if file.stem in names}
        return _view(page_of(choice, answers))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"the choice cannot be read: {error}", where=str(run), hint="run `sartor choose` again"
        ) from None


def _view(page: Page) -> dict[str, Any]:
    return {
        "task": page.task,
        "verdict": page.verdict,
        "meaning": page.meaning,
        "headline": page.headline,
        "why": page.why,
        "sure": page.sure,
        "change": page.change,
        "command": page.command,
        "cautions": [asdict(caution) for caution in page.cautions],
        "checked": page.checked,
        "lines": [
            {
                "title": line.title, "status": line.status, "marked": line.marked, "reference": line.reference,
                "score": line.score, "low": line.low, "high": line.high,
            }
            for line in page.lines
        ],
        "sections": [_section(section) for section in (*page.evidence, *([page.card] if page.card else []))],
        "kinds": [{"kind": kind, "words": words, "count": sum(row["kind"] == kind for row in page.rows)}
                  for kind, words in KINDS],
        "rows": page.rows,
    }  # fmt: skip


def _section(section: Section) -> dict[str, Any]:
    """Without its pictures: what they show stands in the tables too, or in the report."""
    return {"name": section.name, "title": section.title, "sentences": section.sentences,
            "tables": [asdict(table) for table in section.tables]}  # fmt: skip
