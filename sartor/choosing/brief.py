"""What the choice is about, fixed before anything is fitted: the rows of each kind, the limits, the answers' length."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sartor.base.console import say, warn
from sartor.base.durable import file_sha256
from sartor.base.errors import DataError
from sartor.data.answer_length import answer_tokens
from sartor.data.chat import ChatFormat
from sartor.data.folder_walk import walk
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

    @cached_property
    def prints(self) -> dict[str, str]:
        """The task's `fingerprints`, which take a while where there are many documents."""
        return fingerprints(self.task)

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
    _tell_of_shared_groups(task)
    train, dev = without_leaks(task.train, leaks), without_leaks(task.dev, leaks)
    if not train or not dev:
        raise DataError(
            "no train or dev row is left without the ones that test asks too",
            where=str(task.folder),
            hint="give rows that are not in test",
        )
    chat = ChatFormat(load_tokenizer(resolve(base)))
    return Brief(task, tuple(train), tuple(dev), task.test, leaks, answer_tokens([*train, *dev], chat))


def _tell_of_shared_groups(task: Task) -> None:
    """Warn of groups in several files: who learnt one row of a group may know the answers of the others."""
    test, dev, train = ({row.group for row in rows} for rows in (task.test, task.dev, task.train))
    for groups, where, what in (
        (test & (train | dev), "test and in train or dev", "scores may be too high"),
        (dev & train, "dev and in train", "what is chosen on dev rows may only be what was learnt by heart"),
    ):
        if groups:
            names = ", ".join(sorted(groups)[:3]) + (", …" if len(groups) > 3 else "")
            warn(f"{len(groups):,} groups have rows in {where} ({names}): {what}")


def fingerprints(task: Task) -> dict[str, str]:
    """SHA-256 of each part that answers and their scores depend on: `rows` (with instruction and scorer), `documents`
    and `preferences` where there are any. The limits are in none: they only decide."""
    rows = [
        [[row.id, row.messages, row.answers, row.group, row.evidence] for row in split]
        for split in (task.train, task.dev, task.test)
    ]
    judge = task.scorer.judge
    scorer = task.scorer.name if judge is None else f"{task.scorer.name} {judge.identity}"
    found = {"rows": hashlib.sha256(json.dumps([task.instruction, scorer, rows]).encode()).hexdigest()}
    if task.documents is not None:
        files = [file for file, problem in walk(task.documents) if problem is None]
        found["documents"] = _files_sha256(task.folder, files)
    if task.preferences is not None:
        found["preferences"] = _files_sha256(task.folder, [task.preferences])
    return found


def _files_sha256(folder: Path, files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            digest.update(f"{file.relative_to(folder)}\0{file_sha256(file)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
