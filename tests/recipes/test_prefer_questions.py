"""Which questions are asked: never a test row, each once, from a task or from rows of any kind."""

import json
from pathlib import Path

import pytest

from sartor.base.errors import DataError, UsageError
from sartor.data.turns import message
from sartor.recipes.prefer_questions import place_of_preferences, read_questions
from tests import tiny_folders
from tests.tiny_folders import write_rows


def test_train_and_dev_rows_are_asked_with_the_instruction_and_test_rows_never(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_folders.task(tmp_path / "task")
    asked = read_questions(folder)
    texts = {question.own[-1]["content"] for question in asked}
    train = {json.loads(line)["question"] for line in (folder / "train.jsonl").read_text().splitlines()}
    assert texts == train and len(asked) == 40
    assert asked[0].prompt == [message("system", "Name the harbour."), *asked[0].own]
    assert "test rows are never asked" in capsys.readouterr().err


def test_a_task_with_test_rows_only_or_its_test_file_is_refused(tmp_path: Path) -> None:
    folder = tiny_folders.task(tmp_path / "task")
    with pytest.raises(UsageError, match="test rows"):
        read_questions(folder / "test.jsonl")
    (folder / "train.jsonl").unlink()
    with pytest.raises(DataError, match="no train or dev rows"):
        read_questions(folder)


def test_rows_of_many_kinds_hold_a_question(tmp_path: Path) -> None:
    user, assistant = message("user", "Why?"), message("assistant", "So.")
    rows = [
        {"prompt": "Why 1?"},
        {"prompt": [user, assistant, message("user", "Why 2?")], "system": "Be brief."},
        {"question": "Why 3?", "answer": "So.", "id": "third"},
        {"messages": [user, assistant, message("user", "Why 4?"), assistant]},
        {"conversations": [{"from": "human", "value": "Why 5?"}, {"from": "gpt", "value": "So."}]},
        {"prompt": "Why 6?", "chosen": "So.", "rejected": "No."},
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    asked = read_questions(tmp_path / "rows.jsonl")
    assert [question.prompt[-1]["content"] for question in asked] == [f"Why {number}?" for number in range(1, 7)]
    assert [question.id for question in asked][:3] == ["row-1", "row-2", "third"]
    assert [turn["role"] for turn in asked[1].prompt] == ["system", "user", "assistant", "user"]
    assert asked[3].prompt == [user, assistant, message("user", "Why 4?")]


def test_a_question_that_stands_twice_is_asked_once_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tmp_path / "rows.jsonl", [{"prompt": "Why?", "id": number} for number in ("a", "b")])
    assert [question.id for question in read_questions(tmp_path / "rows.jsonl")] == ["a"]
    assert "1 of 2 rows" in capsys.readouterr().err


def test_a_row_without_a_question_is_named(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", [{"prompt": "Why?"}, {"text": "once"}])
    with pytest.raises(DataError, match="rows.jsonl:2, prompt: holds no prompt"):
        read_questions(tmp_path / "rows.jsonl")


def test_a_task_keeps_one_file_of_preferences(tmp_path: Path) -> None:
    assert place_of_preferences(tmp_path) == tmp_path / "preferences.jsonl"
    (tmp_path / "preferences.csv").write_text("prompt,chosen,rejected\n")
    with pytest.raises(UsageError, match="preferences.csv already"):
        place_of_preferences(tmp_path)
