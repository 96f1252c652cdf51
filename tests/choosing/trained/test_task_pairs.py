"""The preference pairs of a task: asked as the task asks, and never about what the test asks."""

import json
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import DataError
from sartor.choosing.brief import fingerprints
from sartor.choosing.trained.task_pairs import as_asked, read_task_pairs
from sartor.data.records import Conversation
from sartor.data.task import Task
from sartor.data.turns import message
from tests import tiny_folders

ASKED = message("user", "where does the red ship lie")


def pair(prompt: str | Conversation) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": "north", "rejected": "nowhere"}


def task_with(folder: Path, rows: list[dict[str, Any]]) -> Task:
    tiny_folders.task(folder)
    tiny_folders.write_rows(folder / "preferences.jsonl", rows)
    return Task.load(folder)


def questions_of_test(folder: Path) -> list[str]:
    return [json.loads(line)["question"] for line in (folder / "test.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (None, "Name it."),
        ("Name it.", "Name it."),
        ("Name it.\n", "Name it.\n"),
        ("Be brief.\n\nName it.", "Be brief.\n\nName it."),
        ("Be brief.", "Be brief.\n\nName it."),
        ("Rename it.", "Rename it.\n\nName it."),
    ],
)
def test_prompts_get_the_instruction_once(system: str | None, expected: str) -> None:
    front = [] if system is None else [message("system", system)]
    assert as_asked([*front, ASKED], "Name it.") == [message("system", expected), ASKED]


@pytest.mark.parametrize("front", [[], [message("system", "Be brief.")]])
def test_without_an_instruction_prompts_stay_as_they_are(front: Conversation) -> None:
    assert as_asked([*front, ASKED], "") == [*front, ASKED]


def test_pairs_are_asked_as_the_rows_of_the_task_are(tmp_path: Path) -> None:
    system = message("system", "Name the harbour.")
    task = task_with(tmp_path / "task", [pair("one?"), pair([system, message("user", "two?")])])
    assert [each.prompt for each in read_task_pairs(task).pairs] == [
        [system, message("user", "one?")],
        [system, message("user", "two?")],
    ]


@pytest.mark.parametrize("has_system", [False, True])
def test_pairs_that_ask_a_test_question_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], has_system: bool
) -> None:
    tiny_folders.task(tmp_path / "other")
    asked = questions_of_test(tmp_path / "other")[3].upper() + "!"
    near = questions_of_test(tmp_path / "other")[4].replace("vessel", "vessels")
    front = [message("system", "Name the harbour.")] if has_system else []
    rows = [pair("one?"), pair([*front, message("user", asked)]), pair("two?"), pair(near)]
    task = task_with(tmp_path / "task", rows)
    found = read_task_pairs(task)
    assert [each.prompt[-1]["content"] for each in found.pairs] == ["one?", "two?", near]
    assert [(leak.test.id, leak.learnt.where) for leak in found.leaks.exact] == [("t3", f"{task.preferences}:2")]
    assert "t4" in {leak.test.id for leak in found.leaks.near}
    told = " ".join(capsys.readouterr().err.split())
    assert "1 test questions stand word for word among the preference pairs (1 pairs)" in told
    assert "preferences.jsonl:2 and" in told and "1 of 4 preference pairs left out" in told


def test_preferences_that_know_most_of_the_test_are_refused(tmp_path: Path) -> None:
    tiny_folders.task(tmp_path / "other")
    rows = [pair(question) for question in questions_of_test(tmp_path / "other")[:11]]
    with pytest.raises(DataError, match="test inside preferences: 11 of 20 test questions") as refused:
        read_task_pairs(task_with(tmp_path / "task", [*rows, pair("one?"), pair("two?")]))
    assert "preferences.jsonl:1" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("rows", "what", "where"),
    [
        ([pair("one?"), pair("one?") | {"chosen": "south"}], "fewer than two questions", "preferences.jsonl"),
        ([pair("one?"), pair("two?") | {"rejected": "north"}], "are the same", "preferences.jsonl:2"),
        ([{"prompt": "one?", "completion": "north", "label": True}], "not preference pairs", "preferences.jsonl"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_with_a_way_out(
    tmp_path: Path, rows: list[dict[str, Any]], what: str, where: str
) -> None:
    with pytest.raises(DataError, match=what) as refused:
        read_task_pairs(task_with(tmp_path / "task", rows))
    assert where in str(refused.value) and refused.value.hint


def test_the_fingerprint_is_of_the_preferences_too(tmp_path: Path) -> None:
    tasks = [
        Task.load(tiny_folders.task(tmp_path / "a")),
        task_with(tmp_path / "b", [pair("one?")]),
        task_with(tmp_path / "c", [pair("two?")]),
    ]
    assert len({fingerprints(task).get("preferences") for task in tasks}) == 3
