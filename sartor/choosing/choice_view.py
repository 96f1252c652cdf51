"""A finished choice as data for a page: the verdict in the report's own words, the scores, every row."""

from pathlib import Path
from typing import Any

from sartor.base.errors import DataError
from sartor.choosing.measure import read_answers
from sartor.choosing.report_lines import COLUMNS, lines_of, path_of
from sartor.choosing.report_rows import KINDS, browsed_rows
from sartor.choosing.report_words import cautions, headline, how_sure, meaning, verdict_word, why
from sartor.reporting.figures import texts
from sartor.train.history import read_record


def choice_view(run: Path) -> dict[str, Any]:
    """What the report of the run says, as JSON. DataError when the run has no choice or a file of it is damaged."""
    choice = read_record(run / "choice.json")
    if not choice:
        raise DataError("this run has no choice", where=str(run), hint="finish `sartor choose` first")
    try:
        answers = {file.stem: read_answers(file) for file in sorted((run / "answers").glob("*.jsonl"))}
        return _view(choice, answers)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"the choice cannot be read: {error}", where=str(run), hint="run `sartor choose` again"
        ) from None


def _view(choice: dict[str, Any], answers: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    lines, how = lines_of(choice, answers), choice.get("how") or {}
    names = [path_of(choice, line)["name"] for line in lines]
    rows = browsed_rows({name: answers[name] for name in names if name in answers})
    return {
        "task": choice.get("task") or "task",
        "verdict": verdict_word(choice, lines),
        "meaning": meaning(choice, lines),
        "headline": headline(choice, lines),
        "why": why(choice, lines),
        "sure": how_sure(choice, lines),
        "changes": texts(choice.get("would_change")),
        "cautions": cautions(choice, lines, how),
        "columns": list(COLUMNS),
        "lines": [
            {
                "title": line.title, "description": line.description, "status": line.status, "marked": line.marked,
                "score": line.score, "low": line.low, "high": line.high, "cells": line.cells,
                "ruled_out": line.ruled_out, "failed": line.failed,
            }
            for line in lines
        ],
        "kinds": [{"kind": kind, "words": words, "count": sum(row["kind"] == kind for row in rows)}
                  for kind, words in KINDS],
        "rows": rows,
    }  # fmt: skip
