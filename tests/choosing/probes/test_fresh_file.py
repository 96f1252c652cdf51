"""The user's own edits, and what is wrong with a line of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import DataError
from sartor.choosing.probes.fresh_file import read_fresh
from sartor.data.extract import make_document
from sartor.data.scorers import scorer

GOOD = {
    "document": "fares.md",
    "old": "A dog travels for £8",
    "new": "A dog travels for £9",
    "question": "What does a dog cost?",
    "answer": ["£9", "nine pounds"],
    "old_answer": "£8",
}


def write(folder: Path, **changes: Any) -> Path:
    row = {key: value for key, value in (GOOD | changes).items() if value is not None}
    file = folder / "pairs.jsonl"
    file.write_text("\n" + json.dumps(row) + "\n")
    return file


def read(file: Path) -> list[Any]:
    documents = [make_document("fares.md", "", "A dog travels\nfor £8."), make_document("t.jsonl:1", "", "x")]
    return read_fresh(file, {each.id: each for each in documents}, scorer("exact"))


def test_a_row_is_an_edit(tmp_path: Path) -> None:
    (edit,) = read(write(tmp_path))
    assert edit.document_id == "fares.md" and edit.row.question == GOOD["question"]
    assert edit.row.answers == ("£9", "nine pounds") and edit.before == ("£8",)
    assert edit.edited(make_document("fares.md", "", "A dog travels\nfor £8.")) == "A dog travels for £9."


def test_the_old_text_is_the_old_answer_unless_it_is_told(tmp_path: Path) -> None:
    (edit,) = read(write(tmp_path, old="£8", new="£9", old_answer=None))
    assert edit.before == ("£8",)


def test_a_document_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "documents" / "fares.md"
    document = make_document("fares.md", "", "A dog travels for £8.", str(path))
    (edit,) = read_fresh(write(tmp_path, document=str(path)), {"fares.md": document}, scorer("exact"))
    assert edit.document_id == "fares.md"


@pytest.mark.parametrize(
    ("changes", "field", "what"),
    [
        ({"document": "fare.md"}, "document", "there is no document 'fare.md'"),
        ({"old": "A cat"}, "old", "does not stand in fares.md"),
        ({"new": GOOD["old"]}, "new", "is the same as the old text"),
        ({"question": None}, "question", "'question' is missing"),
        ({"answer": []}, "answer", "a list"),
        ({"answer": "£8"}, "answer", "cannot tell it from the old answer"),
        ({"answer": "£9, not £8"}, "answer", "holds the old answer"),
        ({"reply": "£9"}, "reply", "there is no field 'reply'"),
    ],
)
def test_a_mistake_is_named_by_line_and_field(tmp_path: Path, changes: dict[str, Any], field: str, what: str) -> None:
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, **changes))
    assert caught.value.where == f"{tmp_path / 'pairs.jsonl'}:2, {field}"
    assert what in caught.value.what and caught.value.hint
