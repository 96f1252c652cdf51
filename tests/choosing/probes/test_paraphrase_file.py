"""A task's own paraphrases, and what is wrong with a line of them."""

import json
from pathlib import Path

import pytest

from sartor.base.errors import DataError
from sartor.choosing.probes.paraphrase_file import read_paraphrases
from sartor.data.task import Task
from tests import tiny_folders

QUESTION = "where does captain 0 of the red ship moor"


def task_with(folder: Path, *rows: dict[str, str]) -> Task:
    tiny_folders.task(folder)
    if rows:
        (folder / "paraphrases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Task.load(folder)


def test_a_task_without_such_a_file(tmp_path: Path) -> None:
    assert read_paraphrases(task_with(tmp_path / "t")) is None


def test_questions_by_row(tmp_path: Path) -> None:
    task = task_with(
        tmp_path / "t", {"id": "train-1", "question": "moor where?"}, {"id": "t3", "question": "and this?"}
    )
    assert read_paraphrases(task) == {"train-1": "moor where?", "t3": "and this?"}
    assert "paraphrases.jsonl" not in task.unread_files


@pytest.mark.parametrize(
    ("row", "field", "what"),
    [
        ({"id": "train-99", "question": "x"}, "id", "no row 'train-99'"),
        ({"id": "train-2", "question": "again"}, "id", "comes twice"),
        ({"id": "train-1", "question": QUESTION}, "question", "is the row's own question"),
        ({"id": "train-1"}, "question", "'question' is missing"),
        ({"id": "train-1", "questions": "x"}, "questions", "no field 'questions'"),
    ],
)
def test_a_mistake_is_named_by_line_and_field(tmp_path: Path, row: dict[str, str], field: str, what: str) -> None:
    task = task_with(tmp_path / "t", {"id": "train-2", "question": "first"}, row)
    with pytest.raises(DataError) as caught:
        read_paraphrases(task)
    assert caught.value.where == f"{tmp_path / 't' / 'paraphrases.jsonl'}:2, {field}" and what in caught.value.what
