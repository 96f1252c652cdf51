"""A task folder: what is asked, how answers are scored, and the rows to learn from and to measure on."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from sartor.base.configuration import Config, build, load_yaml, nearest
from sartor.base.errors import DataError, UsageError
from sartor.data.judge_settings import JudgeSettings
from sartor.data.opening import data_files, find_data_file
from sartor.data.records import Conversation, Row
from sartor.data.scorers import JUDGE, Scorer, check_answers, scorer
from sartor.data.split import split_dev
from sartor.data.task_rows import read_task_rows
from sartor.data.turns import message


class Limits(Config):
    """What a way of answering must keep to be chosen at all; None sets no limit.

    `margin` is how much score may be given up for a cheaper way (the non-inferiority margin).
    """

    local_only: bool = False
    p95_seconds: float | None = Field(default=None, gt=0)
    cost_per_1k: float | None = Field(default=None, ge=0, description="US dollars for 1,000 answers")
    min_score: float | None = Field(default=None, ge=0, le=1)
    margin: float = Field(default=0.02, ge=0, lt=1)


class TaskConfig(Config):
    """`task.yaml`; the name defaults to the folder's."""

    scorer: str = Field(description="how answers are scored: exact, label, f1, contains, numeric, json, …")
    name: str = ""
    description: str = ""
    instruction: str = ""
    limits: Limits = Limits()
    judge: JudgeSettings | None = Field(
        None, description="the model of the scorer judge; with another scorer, it only compares two models' answers"
    )

    @field_validator("scorer")
    @classmethod
    def _known_scorer(cls, name: str) -> str:
        try:
            return name if name == JUDGE else scorer(name).name
        except UsageError as error:
            raise ValueError(error.hint or error.what) from None

    @model_validator(mode="after")
    def _judge_is_named(self) -> Self:
        if self.scorer == JUDGE and self.judge is None:
            raise ValueError("the scorer judge needs a model that judges: add `judge: {model: …}`")
        return self


@dataclass(frozen=True)
class Task:
    """A loaded task folder. `train` holds no dev row; `dev_origin` says where dev rows come from.

    `train` and `dev` are empty for a folder that holds test rows only. `documents` and `preferences` are
    existing paths or None.
    """

    folder: Path
    name: str
    description: str
    instruction: str
    scorer: Scorer
    limits: Limits
    train: tuple[Row, ...]
    dev: tuple[Row, ...]
    test: tuple[Row, ...]
    dev_origin: Literal["file", "train", "none"]
    documents: Path | None = None
    preferences: Path | None = None
    unread_files: tuple[str, ...] = field(default=())
    judge: JudgeSettings | None = None

    @staticmethod
    def load(folder: str | Path) -> "Task":
        """Read and check task.yaml (UsageError) and all rows (DataError); documents are only looked for."""
        folder = Path(folder)
        config = _load_config(folder)
        by = scorer(config.scorer, config.judge)
        train, dev, test = (_rows(folder, split, by, bool(config.instruction)) for split in SPLITS)
        if not test:
            raise DataError("holds no test file", where=str(folder), hint=_missing_hint(folder, "test"))
        train, dev, origin = _with_dev(folder, train, dev)
        read = {_stem(path) for path in data_files(folder)} & {*SPLITS, "preferences", "paraphrases"}
        unread = (path.name for path in data_files(folder) if _stem(path) not in read)
        return Task(
            folder=folder, name=config.name or folder.resolve().name, description=config.description,
            instruction=config.instruction, scorer=by, limits=config.limits,
            train=tuple(train), dev=tuple(dev), test=tuple(test), dev_origin=origin,
            documents=_documents(folder), preferences=find_data_file(folder, "preferences"),
            unread_files=tuple(unread), judge=config.judge,
        )  # fmt: skip

    def keeping_judgements(self, file: Path) -> "Task":
        """The same task, of which a remote judge's answers are kept in `file`, so that none is paid for twice."""
        return replace(self, scorer=replace(self.scorer, judgements=file))

    def require_train(self) -> tuple[Row, ...]:
        """The train rows; DataError when the folder has none."""
        if not self.train:
            hint = _missing_hint(self.folder, "train")
            raise DataError("holds no train file to learn from", where=str(self.folder), hint=hint)
        return self.train

    def conversation(self, row: Row) -> Conversation:
        """What is asked for `row`: the task's instruction as the system prompt, then the row's turns."""
        system = [message("system", self.instruction)] if self.instruction else []
        return system + row.messages

    def summary(self) -> list[str]:
        """What the folder holds, in sentences."""
        rows = [*self.train, *self.dev, *self.test]
        origin = {"file": "from a file", "train": "split from train by group", "none": "no dev rows"}
        splits = f"{len(self.train):,} train, {len(self.dev):,} dev ({origin[self.dev_origin]})"
        kept_together = "; rows of one group never straddle train and dev" if self.dev_origin == "train" else ""
        words = sorted(len(row.answers[0].split()) for row in rows)
        sentences = [
            f"Task {self.name}: {splits} and {len(self.test):,} test rows.",
            f"{len({row.group for row in rows}):,} groups{kept_together}.",
            f"Words in an answer: {statistics.median(words):g} at the median, {words[-1]:,} at most; "
            f"{_share(sum(len(row.answers) > 1 for row in rows), len(rows))} of rows accept more than one.",
            f"Scored by {self.scorer.name}. {self.scorer.description}",
            self._documents_sentence(rows),
        ]
        extra = sorted({key or "(no name)" for row in rows for key in row.extra})
        if extra:
            sentences.append(f"Columns that are kept but not used: {', '.join(extra)}.")
        if self.unread_files:
            sentences.append(f"Files that are not read: {', '.join(self.unread_files)}.")
        return sentences

    def _documents_sentence(self, rows: Sequence[Row]) -> str:
        named = sum(bool(row.evidence) for row in rows)
        evidence = f"{_share(named, len(rows))} of rows name the documents that hold their answer"
        if self.documents is None:
            return f"No documents; {evidence}." if named else "No documents."
        files = {path.relative_to(self.documents).as_posix() for path in _files(self.documents)}
        unknown = {name for row in rows for name in row.evidence} - files
        absent = f" ({len(unknown):,} names are no file there)" if unknown else ""
        return f"{len(files):,} documents; {evidence}{absent}."


SPLITS = ("train", "dev", "test")


def _load_config(folder: Path) -> TaskConfig:
    if not folder.is_dir():
        if folder.exists():
            raise DataError("is a file, not a task folder", where=str(folder), hint=f"give {folder.parent}")
        beside = [child.name for child in folder.parent.iterdir()] if folder.parent.is_dir() else []
        near = nearest(folder.name, beside)
        hint = f"did you mean {folder.parent / near}?" if near else "check the path"
        raise DataError("there is no such task folder", where=str(folder), hint=hint)
    path = folder / "task.yaml"
    if not path.exists():
        hint = "write one with `instruction: …` and `scorer: …`"
        raise DataError("holds no task.yaml", where=str(folder), hint=hint)
    return build(TaskConfig, load_yaml(path))


def _rows(folder: Path, split: str, by: Scorer, has_instruction: bool) -> list[Row]:
    path = find_data_file(folder, split)
    if path is None:
        return []
    rows = read_task_rows(path, split, lambda answers, where: check_answers(by, answers, where))
    two_prompts = next((row for row in rows if has_instruction and row.messages[0]["role"] == "system"), None)
    if two_prompts:
        hint = "keep the system turn or the instruction in task.yaml"
        raise DataError("there are two system prompts", where=f"{two_prompts.where}, messages[0]", hint=hint)
    return rows


def _with_dev(
    folder: Path, train: list[Row], dev: list[Row]
) -> tuple[list[Row], list[Row], Literal["file", "train", "none"]]:
    if dev:
        return train, dev, "file"
    if not train:
        return [], [], "none"
    try:
        rest, split = split_dev(train, lambda row: row.group)
    except DataError as error:
        raise DataError(error.what, where=str(folder), hint=error.hint) from None
    return rest, split, "train"


def _documents(folder: Path) -> Path | None:
    path = folder / "documents"
    if not path.exists():
        return None
    if not path.is_dir():
        raise DataError("is a file, not a folder of documents", where=str(path), hint="put it in a folder")
    if not _files(path):
        raise DataError("holds no documents", where=str(path), hint="add documents or remove the folder")
    return path


def _files(folder: Path) -> list[Path]:
    """All files below `folder` apart from hidden ones."""
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]


def _missing_hint(folder: Path, split: str) -> str:
    found = [path.name for path in data_files(folder)]
    return f"add {split}.jsonl" + (f"; found {', '.join(found)}" if found else "")


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}"
