"""What the choice is about, fixed before anything is fitted: the rows of each kind, the limits, the answers' length."""

import hashlib
import json
from dataclasses import dataclass

from sartor.base.console import say, warn
from sartor.base.durable import file_sha256
from sartor.base.errors import DataError
from sartor.data.answer_length import answer_tokens
from sartor.data.chat import ChatFormat
from sartor.data.leaks import LeakReport, check_leaks, without_leaks
from sartor.data.records import Row
from sartor.data.task import Task
from sartor.models.hub import load_tokenizer, resolve


@dataclass(frozen=True)
class Brief:
    """A task made ready. `train` holds no question that a test row asks too; test rows are as they were."""

    task: Task
    train: tuple[Row, ...]
    dev: tuple[Row, ...]
    test: tuple[Row, ...]
    leaks: LeakReport
    max_new_tokens: int

    @property
    def groups(self) -> list[str]:
        return [row.group for row in self.test]


def make_brief(task: Task, base: str) -> Brief:
    """Say what was seen, take leaked rows out of train and dev, find the base model (only when the rows are good)."""
    for sentence in task.summary():
        say(sentence)
    task.require_train()
    leaks = check_leaks(task)
    tell = warn if leaks.exact or leaks.near else say
    tell(leaks.text())
    train, dev = without_leaks(task.train, leaks), without_leaks(task.dev, leaks)
    if not train or not dev:
        raise DataError(
            "no train or dev row is left without the ones that test asks too",
            where=str(task.folder),
            hint="give rows that are not in test",
        )
    chat = ChatFormat(load_tokenizer(resolve(base)))
    return Brief(task, tuple(train), tuple(dev), task.test, leaks, answer_tokens([*train, *dev], chat))


def fingerprint(task: Task) -> str:
    """SHA-256 over all that answers and their scores depend on: instruction, scorer, rows, documents and
    preferences. The limits are not in it: they only decide."""
    rows = [
        [[row.id, row.messages, row.answers, row.group, row.evidence] for row in split]
        for split in (task.train, task.dev, task.test)
    ]
    digest = hashlib.sha256(json.dumps([task.instruction, task.scorer.name, rows]).encode())
    files = sorted(task.documents.rglob("*")) if task.documents is not None else []
    files += [task.preferences] if task.preferences is not None else []
    for file in files:
        if file.is_file():
            digest.update(f"{file.relative_to(task.folder)}\0{file_sha256(file)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
