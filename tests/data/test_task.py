"""Task folders: what is read, what a path is asked, and every fault by place, field and remedy."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import DataError, SartorError, UsageError
from sartor.data.records import Row
from sartor.data.task import Limits, Task

ROWS = [{"question": f"Question {i}?", "answer": f"answer {i}"} for i in range(40)]
TASK = "name: fees\ndescription: d\ninstruction: Answer briefly.\nscorer: exact\n"


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_task(folder: Path, files: dict[str, str] | None = None) -> Path:
    """A good task folder with `files` on top; a file whose text is "-" is left out."""
    base = {
        "task.yaml": TASK,
        "train.jsonl": lines(ROWS),
        "test.jsonl": lines([{"question": "T?", "answer": "t"}]),
    }
    for name, text in (base | (files or {})).items():
        if text != "-":
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return folder


def test_a_whole_folder(tmp_path: Path) -> None:
    test = [
        {
            "question": "When?",
            "answer": ["noon", "12"],
            "group": "g",
            "evidence": ["a.md"],
            "id": "t1",
            "hard": True,
        },
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Yes?"},
                {"role": "user", "content": "Where?"},
            ],
            "answer": "here",
            "id": 7,
            "group": 3,
        },
    ]
    limits = "limits: {local_only: true, p95_seconds: 2, min_score: 0.8, margin: 0.05}\n"
    files = {
        "task.yaml": TASK + limits,
        "test.jsonl": lines(test),
        "documents/a.md": "x",
        "preferences.csv": "a\n",
    }
    task = Task.load(write_task(tmp_path, files))
    assert (task.name, task.description, task.scorer.name) == ("fees", "d", "exact")
    assert task.limits == Limits(local_only=True, p95_seconds=2, min_score=0.8, margin=0.05)
    assert task.documents == tmp_path / "documents" and task.preferences == tmp_path / "preferences.csv"
    first, second = task.test
    assert first == Row(
        "t1",
        [{"role": "user", "content": "When?"}],
        ("noon", "12"),
        "g",
        ("a.md",),
        {"hard": True},
        f"{tmp_path}/test.jsonl:1",
    )
    assert (second.id, second.group, second.question, len(second.messages)) == ("7", "3", "Where?", 3)
    system = {"role": "system", "content": "Answer briefly."}
    assert task.conversation(first) == [system, {"role": "user", "content": "When?"}]
    assert len(second.messages) == 3  # asking changes no row


def test_ids_and_groups_that_are_not_given(tmp_path: Path) -> None:
    rows = [{"question": q, "answer": "a"} for q in ("Same  question?", "same question", "Other?")]
    task = Task.load(write_task(tmp_path, {"test.jsonl": lines(rows)}))
    assert [row.id for row in task.test] == ["test-1", "test-2", "test-3"]
    first, second, third = (row.group for row in task.test)
    assert first == second != third
    assert first == hashlib.sha256(b"same question").hexdigest()[:16]  # for ever: which rows are dev rests on it


def test_dev_is_split_from_train_or_read(tmp_path: Path) -> None:
    split = Task.load(write_task(tmp_path / "a"))
    assert split.dev_origin == "train" and split.dev
    assert {row.id for row in split.train} | {row.id for row in split.dev} == {
        f"train-{i}" for i in range(1, 41)
    }
    read = Task.load(write_task(tmp_path / "b", {"dev.csv": "question,answer\nD?,d\n"}))
    assert read.dev_origin == "file" and len(read.train) == 40
    assert [(row.id, row.answers) for row in read.dev] == [("dev-1", ("d",))]


def test_a_folder_to_measure_only(tmp_path: Path) -> None:
    task = Task.load(write_task(tmp_path, {"train.jsonl": "-"}))
    assert (task.train, task.dev, task.dev_origin) == ((), (), "none")
    with pytest.raises(
        DataError, match="no train file to learn from.*\nhint: add train.jsonl; found test.jsonl"
    ):
        task.require_train()


def test_rows_are_read_from_any_format_and_the_name_defaults_to_the_folder(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "my-task", {"task.yaml": "scorer: label", "train.jsonl": "-"})
    (folder / "train.json.gz").write_bytes(gzip.compress(json.dumps(ROWS).encode()))
    task = Task.load(folder)
    assert task.name == "my-task" and len(task.require_train()) + len(task.dev) == 40
    assert task.conversation(task.test[0]) == task.test[0].messages


def test_the_summary_says_what_it_saw(tmp_path: Path) -> None:
    rows = [
        {"question": f"Q{i}", "answer": ["a b c", "x"], "evidence": ["a.md", "b.md"], "note": 1}
        for i in (1, 2)
    ]
    files = {
        "test.jsonl": lines(rows),
        "dev.jsonl": lines(ROWS[:1]),
        "documents/a.md": "x",
        "valid.jsonl": "{}",
    }
    text = "\n".join(Task.load(write_task(tmp_path, files)).summary())
    assert "Task fees: 40 train, 1 dev (from a file) and 2 test rows." in text
    assert "2 at the median, 3 at most; 5% of rows accept more than one." in text
    assert (
        "1 documents; 5% of rows name the documents that hold their answer (1 names are no file there)."
        in text
    )
    assert "kept but not used: note" in text and "Files that are not read: valid.jsonl." in text


def task_yaml(text: str) -> dict[str, str]:
    return {"task.yaml": text}


def second_row(row: Any) -> dict[str, str]:
    return {"test.jsonl": lines([{"question": "ok", "answer": "ok", "id": "1"}, row])}


TURN = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Hi"}
REPLY = {"role": "assistant", "content": "Hi"}

# files, error, end of `where`, part of what, part of hint
BAD_TASKS: list[tuple[dict[str, str], type[SartorError], str, str, str]] = [
    (task_yaml("-"), DataError, "", "holds no task.yaml", "scorer"),
    (task_yaml("scorrer: exact"), UsageError, "task.yaml:1", "unknown key 'scorrer'", "'scorer'"),
    (task_yaml("name: x"), UsageError, "task.yaml", "'scorer' is missing", "exact, label, f1"),
    (
        task_yaml("scorer: lable"),
        UsageError,
        "task.yaml:1",
        "'scorer' cannot be 'lable'",
        "did you mean label",
    ),
    (task_yaml("scorer: exact\nscorer: f1"), UsageError, "task.yaml:2", "occurs twice", "keep one"),
    (task_yaml("scorer: exact\nlimits: {p95: 2}"), UsageError, "task.yaml:2", "'limits.p95'", "p95_seconds"),
    (
        task_yaml("scorer: f1\nlimits:\n  min_score: 80"),
        UsageError,
        ":3",
        "'limits.min_score' cannot be 80",
        "1",
    ),
    (task_yaml("scorer: [exact"), UsageError, "task.yaml:1", "cannot be read as YAML", "key: value"),
    ({"test.jsonl": "-"}, DataError, "", "holds no test file", "found train.jsonl"),
    ({"test.jsonl": ""}, DataError, "test.jsonl", "is empty", "written"),
    ({"train.jsonl": "\n"}, DataError, "train.jsonl", "holds no rows", "written"),
    ({"dev.jsonl": ""}, DataError, "dev.jsonl", "is empty", "written"),
    (
        {"train.csv": "question,answer\na,b\n"},
        DataError,
        "",
        "both train.csv and train.jsonl are here",
        "keep one",
    ),
    ({"documents": "x"}, DataError, "documents", "not a folder of documents", "folder"),
    ({"documents/.hidden": "x"}, DataError, "documents", "no documents", "remove the folder"),
    (
        {"train.jsonl": lines([{"question": "q", "answer": "a", "group": "g"}] * 3)},
        DataError,
        "",
        "one group",
        "dev",
    ),
    ({"test.jsonl": '{"question": }\n'}, DataError, "test.jsonl:1", "not JSON", "correct"),
    (second_row([1]), DataError, "test.jsonl:2", "is a list, not an object", "question"),
    (second_row({"answer": "x"}), DataError, ":2, question", "'question' is missing", "found columns answer"),
    (second_row({"qestion": "x", "answer": "x"}), DataError, ":2, question", "missing", "rename 'qestion'"),
    (second_row({"question": "x"}), DataError, ":2, answer", "'answer' is missing", "found columns question"),
    (second_row({"question": "x", "answers": "y"}), DataError, ":2, answer", "missing", "rename 'answers'"),
    (second_row({"question": " ", "answer": "x"}), DataError, ":2, question", "is empty", "remove the row"),
    (second_row({"question": 3, "answer": "x"}), DataError, ":2, question", "a number, not text", "quotes"),
    (second_row({"question": "x", "answer": ""}), DataError, ":2, answer", "empty", "remove the row"),
    (second_row({"question": "x", "answer": 42}), DataError, ":2, answer", "a number, not text", "quotes"),
    (second_row({"question": "x", "answer": []}), DataError, ":2, answer", "empty", "at least one"),
    (second_row({"question": "x", "answer": ["y", 4]}), DataError, ":2, answer[1]", "a number", "quotes"),
    (
        second_row({"question": "x", "answer": "..."}),
        DataError,
        ":2, answer",
        "nothing is left",
        "another scorer",
    ),
    (
        second_row({"question": "x", "messages": [TURN], "answer": "y"}),
        DataError,
        ":2, messages",
        "both",
        "keep one",
    ),
    (second_row({"messages": [], "answer": "y"}), DataError, ":2, messages", "no turns", "remove the row"),
    (
        second_row({"messages": [TURN, REPLY], "answer": "y"}),
        DataError,
        "messages[1]",
        "last turn",
        "remove the last",
    ),
    (
        second_row({"messages": [SYSTEM, TURN], "answer": "y"}),
        DataError,
        ":2, messages[0]",
        "two system",
        "task.yaml",
    ),
    (
        second_row({"question": "x", "answer": "y", "id": "1"}),
        DataError,
        ":2, id",
        "'1' occurs twice, first in",
        "own",
    ),
    (
        second_row({"question": "x", "answer": "y", "id": [1]}),
        DataError,
        ":2, id",
        "a list, not text",
        "text",
    ),
    (second_row({"question": "x", "answer": "y", "group": {}}), DataError, ":2, group", "an object", "text"),
    (
        second_row({"question": "x", "answer": "y", "evidence": [3]}),
        DataError,
        ":2, evidence",
        "document ids",
        "[",
    ),
]


@pytest.mark.parametrize(("files", "kind", "where", "what", "hint"), BAD_TASKS)
def test_a_bad_task_is_named(
    tmp_path: Path, files: dict[str, str], kind: type[SartorError], where: str, what: str, hint: str
) -> None:
    folder = write_task(tmp_path / "task", files)
    with pytest.raises(kind) as caught:
        Task.load(folder)
    error = caught.value
    assert error.where and error.where.startswith(str(folder)) and error.where.endswith(where)
    assert what in error.what and "\n" not in error.what
    assert error.hint and hint in error.hint


def test_both_places_of_a_duplicate_id_are_given(tmp_path: Path) -> None:
    folder = write_task(tmp_path, second_row({"question": "x", "answer": "y", "id": "1"}))
    with pytest.raises(
        DataError, match=r"test.jsonl:2, id: the id '1' occurs twice, first in .*test.jsonl:1"
    ):
        Task.load(folder)


def test_the_same_id_may_stand_in_train_and_test(tmp_path: Path) -> None:
    numbered = [row | {"id": index} for index, row in enumerate(ROWS)]
    task = Task.load(
        write_task(tmp_path, {"train.jsonl": lines(numbered), "test.jsonl": lines(numbered[:1])})
    )
    assert task.test[0].id == "0"


def test_wrong_paths(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "banking")
    with pytest.raises(DataError, match="no such task folder\nhint: did you mean .*banking"):
        Task.load(tmp_path / "bankng")
    with pytest.raises(DataError, match="is a file, not a task folder"):
        Task.load(folder / "train.jsonl")
