"""The task as it is fixed before anything is fitted."""

import json
from pathlib import Path

import pytest

from sartor.base.errors import DataError
from sartor.choosing.brief import fingerprints, make_brief
from sartor.data.answer_length import MOST_ANSWER_TOKENS, answer_tokens
from sartor.data.chat import ChatFormat
from sartor.data.records import Message, Row
from sartor.data.task import Task
from tests import tiny_folders, tiny_models


@pytest.fixture(scope="module")
def chat() -> ChatFormat:
    return ChatFormat(tiny_models.tokenizer())


def test_rows_that_test_asks_too_are_not_learnt_from_and_test_rows_stay(tmp_path: Path) -> None:
    folder = tiny_folders.task(tmp_path / "task")
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    test = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    leaked = test[3]["question"].upper() + "!"
    tiny_folders.write_rows(folder / "train.jsonl", [*rows, {"question": leaked, "answer": "north"}])
    brief = make_brief(Task.load(folder), str(tiny_folders.language_model(tmp_path / "model")))
    assert len(brief.train) + len(brief.dev) == len(rows)
    assert leaked not in {row.question for row in (*brief.train, *brief.dev)}
    assert [row.question for row in brief.test] == [row["question"] for row in test]
    assert [leak.test.id for leak in brief.leaks.exact] == ["t3"]
    assert brief.groups == [row.group for row in brief.test]


def test_a_task_without_train_rows_is_refused_before_the_model_is_looked_for(tmp_path: Path) -> None:
    folder = tiny_folders.task(tmp_path / "task")
    (folder / "train.jsonl").unlink()
    with pytest.raises(DataError, match="train"):
        make_brief(Task.load(folder), str(tmp_path / "nowhere"))


def test_replies_may_be_a_quarter_longer_than_the_longest_answer(chat: ChatFormat) -> None:
    def row(answer: str) -> Row:
        return Row("r", [Message(role="user", content="q")], (answer, answer * 99), "g")

    long = "zq" * 40  # two tokens each time: the vocabulary knows no such pair
    assert answer_tokens([row("z"), row(long)], chat) == 80 + 20 + 8
    assert answer_tokens([row(long * 50)], chat) == MOST_ANSWER_TOKENS


def test_the_fingerprint_is_of_all_that_answers_and_scores_depend_on(tmp_path: Path) -> None:
    def change(name: str, text: str) -> str:
        folder = tiny_folders.task(tmp_path / str(len(list(tmp_path.iterdir()))))
        if name:
            (folder / name).write_text(text)
        return str(fingerprints(Task.load(folder)))

    settings = "name: ships\ninstruction: Name the harbour.\nscorer: {}\n"
    same = change("", "")
    assert change("", "") == same
    assert change("task.yaml", settings.format("regex\nlimits: {p95_seconds: 3}")) == same
    row = '{"question": "who", "answer": "me"}\n'
    changed = [
        change("task.yaml", settings.format("exact")),
        change("task.yaml", settings.format("regex").replace("Name", "Say")),
        change("documents/red.md", "# red ship\n\nthe red ship lies in the south harbour"),
        change("documents/new.md", "new"),
        change("test.jsonl", row),
        change("dev.jsonl", row),
    ]
    assert len({same, *changed}) == 1 + len(changed)


def test_hidden_files_are_no_documents(tmp_path: Path) -> None:
    task = Task.load(tiny_folders.task(tmp_path / "task"))
    before = fingerprints(task)
    assert task.documents is not None
    (task.documents / ".DS_Store").write_text("seen")
    (task.documents / ".git").mkdir()
    (task.documents / ".git" / "index").write_text("kept")
    assert fingerprints(task) == before
    (task.documents / "new.md").write_text("a document")
    assert fingerprints(task) != before


@pytest.mark.parametrize(
    ("split", "told"), [("test", "have rows in test and in train or dev"), ("dev", "have rows in dev and in train")]
)
def test_a_group_in_two_files_is_told(
    tmp_path: Path, split: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_folders.task(tmp_path / "task")
    rows = [{"question": f"who sails the {n} boat", "answer": "north", "group": f"g{n}"} for n in range(4)]
    (folder / f"{split}.jsonl").unlink(missing_ok=True)
    tiny_folders.write_rows(folder / f"{split}.jsonl", rows)
    asked_otherwise = [row | {"question": f"if you know, tell me: {row['question']}, please"} for row in rows[:2]]
    train = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    tiny_folders.write_rows(folder / "train.jsonl", [*train, *asked_otherwise])
    make_brief(Task.load(folder), str(tiny_folders.language_model(tmp_path / "model")))
    assert f"2 groups {told} (g0, g1)" in " ".join(capsys.readouterr().err.split())
