"""The report of a measured choice: `report.html`, one self-contained page, and `report.md` for a terminal.

Both say the same words from one view of `choice.json`. Everything a model, a document or a user wrote is
escaped; the page's security policy allows no script, no remote content and no style but its own.
Beyond its measures a path may carry `description`, `chosen_on_dev`, `truncated_replies` (a share), `excluded`
(the limits it breaks), `bounds` (lowest and highest score, whatever its unscored rows are worth) and `failed`
(why it could not be measured); what is absent is shown as a dash, and a section of which nothing is recorded
is left out. `needed_rows` counts test rows in all, as the verdict gives it; people read how many more.
Scores and differences are shares from 0 to 1 in the data and points of 100 in the words.
"""

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from sartor.choosing.report.care import Caution
from sartor.choosing.report.markdown import markdown
from sartor.choosing.report.page import Page, page_of
from sartor.choosing.report.rows import KINDS
from sartor.reporting.page import page_bytes, render_page

ROWS_SHOWN = 200
CAUTIONS_FIRST, CAUTION_CHARACTERS = 3, 140  # on the first page; all of them are whole in the evidence


def write_report(choice: dict[str, Any], answers: dict[str, list[dict[str, Any]]], folder: Path) -> Path:
    """Write `report.html` and `report.md` into `folder` (made if absent) and return the page's path.

    `answers[path]` lists `{id, question, accepted, text, score, seconds, finish, passages: [{title, chunk_id,
    text}]}`; a score of None means that the answer could not be scored. The same input gives the same bytes.
    Raises DataError where `choice` has no paths or names one that it does not list.
    """
    page = page_of(choice, answers)
    documents = {
        "report.html": render_page(Path(__file__).with_name("report.html.jinja"), _values(page)),
        "report.md": markdown(page),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents.items():
        unfinished = folder / f".{name}.unfinished"
        unfinished.write_bytes(page_bytes(text))
        os.replace(unfinished, folder / name)
    return folder / "report.html"


def _values(page: Page) -> dict[str, Any]:
    """What the template is filled with."""
    shown = page.rows[:ROWS_SHOWN]
    given = {field.name: getattr(page, field.name) for field in fields(page)}
    return given | {
        "rows": shown,
        "num_rows": len(page.rows),
        "places": {row["id"]: index for index, row in enumerate(shown)},
        "kinds": [
            (kind, words, count) for kind, words in KINDS if (count := sum(row["kind"] == kind for row in shown))
        ],
        "more_on_cautions": _more(page.cautions),
        "first_cautions": [_shortened(caution.what) for caution in page.cautions[:CAUTIONS_FIRST]],
    }


def _shortened(text: str) -> str:
    return text if len(text) <= CAUTION_CHARACTERS else f"{text[:CAUTION_CHARACTERS].rsplit(' ', 1)[0]} …"


def _more(cautions: Sequence[Caution]) -> str:
    """The words of the link from the first page to all cautions."""
    count = f"All {len(cautions)}" if len(cautions) > CAUTIONS_FIRST else "More on this"
    return f"{count}, and what to do" if any(caution.hint for caution in cautions) else count
