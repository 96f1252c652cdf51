"""Prompts from every kind of row, with the answers that are accepted where a row has them; never a task's test rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import DataError
from sartor.data.bad_rows import BadRow, BadRows
from sartor.data.prompts import Prompt, read_prompts, task_prompts, to_prompt
from sartor.data.task import Task
from tests import tiny_folders

USER, OTHER = {"role": "user", "content": "why"}, {"role": "assistant", "content": "because"}
SYSTEM = {"role": "system", "content": "be brief"}


@pytest.mark.parametrize(
    ("row", "messages", "answers"),
    [
        ({"prompt": "why"}, [USER], ()),
        ({"prompt": "why", "answer": "so"}, [USER], ("so",)),
        ({"prompt": "why", "answers": ["so", "thus"]}, [USER], ("so", "thus")),
        ({"prompt": "why", "completion": "so"}, [USER], ("so",)),
        ({"prompt": "why", "completion": [OTHER]}, [USER], ("because",)),
        ({"prompt": "why", "completion": [OTHER, USER, OTHER]}, [USER], ()),
        ({"prompt": "why", "completion": "so", "label": True}, [USER], ("so",)),
        ({"prompt": "why", "completion": [OTHER], "label": "true"}, [USER], ("because",)),
        ({"prompt": "why", "completion": "so", "label": None}, [USER], ("so",)),
        ({"prompt": "why", "completion": "so", "label": False}, [USER], ()),
        ({"prompt": "why", "completion": "so", "label": 0}, [USER], ()),
        ({"prompt": "why", "completion": "so", "label": "off topic"}, [USER], ()),
        ({"prompt": "why", "answer": "so", "label": False}, [USER], ("so",)),
        ({"prompt": [SYSTEM, USER]}, [SYSTEM, USER], ()),
        ({"prompt": [USER, OTHER, USER]}, [USER, OTHER, USER], ()),
        ({"prompt": "why", "system": "be brief"}, [SYSTEM, USER], ()),
        ({"question": "why", "answer": "so"}, [USER], ("so",)),
        ({"question": "why", "system": "be brief"}, [SYSTEM, USER], ()),
        ({"messages": [USER]}, [USER], ()),
        ({"messages": [USER], "answer": "so"}, [USER], ("so",)),
        ({"messages": [SYSTEM, USER, OTHER]}, [SYSTEM, USER], ("because",)),
        ({"messages": [USER, OTHER], "system": "be brief"}, [SYSTEM, USER], ("because",)),
        ({"messages": [USER, OTHER, OTHER]}, [USER], ()),
        ({"conversations": [{"from": "human", "value": "why"}, {"from": "gpt", "value": "so"}]}, [USER], ("so",)),
        ({"prompt": "why", "chosen": "so", "rejected": "no"}, [USER], ()),
        ({"chosen": [USER, OTHER], "rejected": [USER, {"role": "assistant", "content": "no"}]}, [USER], ()),
        ({"prompt": "why", "answer": None, "completion": "so"}, [USER], ("so",)),
    ],
)
def test_every_kind_of_row(row: dict[str, Any], messages: list[dict[str, str]], answers: tuple[str, ...]) -> None:
    assert to_prompt(row, "rows.jsonl:3") == Prompt(messages, answers, "rows.jsonl:3")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"text": "why"}, "prompt"),
        ({}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": [USER, OTHER]}, "prompt"),
        ({"question": ""}, "question"),
        ({"prompt": "why", "answer": ""}, "answer"),
        ({"prompt": "why", "answers": []}, "answers"),
        ({"prompt": "why", "answers": ["so", 3]}, "answers"),
        ({"prompt": "why", "completion": [USER]}, "completion"),
        ({"messages": [USER, OTHER], "answer": "so"}, "messages"),
        ({"messages": [OTHER]}, "messages"),
        ({"conversations": [SYSTEM]}, "conversations"),
        ({"chosen": "so", "rejected": "so"}, "rejected"),
    ],
)
def test_a_bad_row_is_named(row: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRow) as error:
        to_prompt(row, "rows.jsonl:3")
    assert error.value.place == "rows.jsonl:3" and error.value.hint
    assert error.value.field is not None and error.value.field.startswith(field)


def test_the_question_is_all_that_is_said() -> None:
    assert to_prompt({"prompt": [SYSTEM, USER]}, "").question == "be brief\nwhy"


def test_bad_rows_stop_or_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    tiny_folders.write_rows(file, [{"prompt": "why", "answer": "so"}, {"text": "x"}, {"question": "how"}])
    with pytest.raises(BadRow, match="holds no prompt"):
        read_prompts(file, BadRows())
    skipping = BadRows("skip")
    assert [(each.question, each.where) for each in read_prompts(file, skipping)] == [
        ("why", f"{file}:1"),
        ("how", f"{file}:3"),
    ]
    assert [reject.raw for reject in skipping.rejects] == [{"text": "x"}]
    assert "2 prompts, 1 of them with accepted answers" in capsys.readouterr().err


def test_a_file_without_prompts_is_refused(tmp_path: Path) -> None:
    tiny_folders.write_rows(tmp_path / "rows.jsonl", [{"text": "x"}])
    with pytest.raises(DataError, match="holds no usable prompt"):
        read_prompts(tmp_path / "rows.jsonl", BadRows("skip"))


def test_a_task_gives_its_train_and_dev_rows_and_never_its_test_rows(tmp_path: Path) -> None:
    task = Task.load(tiny_folders.task(tmp_path / "task"))
    train, dev = task_prompts(task)
    assert train and dev and len(train) + len(dev) == 40
    tested = {json.loads(line)["question"] for line in (tmp_path / "task" / "test.jsonl").read_text().splitlines()}
    for prompt in (*train, *dev):
        assert prompt.messages[-1]["content"] not in tested and "test.jsonl" not in prompt.where
        assert "Name the harbour." in prompt.question and prompt.answers
    assert {each.where for each in train}.isdisjoint(each.where for each in dev)
