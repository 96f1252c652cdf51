"""Texts that a model is tested on, which its training documents may not hold."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.base.errors import DataError
from sartor.data.opening import ALL_EXTENSIONS
from sartor.data.readers import read_rows
from sartor.data.task import Task

TEXT_EXTENSIONS = (".txt", ".md")


@dataclass(frozen=True)
class HeldOut:
    """One text of a row (`row` is its id, or `file:line`) of the task or file `task`."""

    task: str
    row: str
    text: str

    @property
    def reason(self) -> str:
        """Why a document that holds it is dropped."""
        return "contaminated_" + re.sub(r"\W+", "_", self.task).strip("_").lower()


def held_out_texts(source: str | Path, answers: bool = False) -> list[HeldOut]:
    """What is held out by a task folder, a file of rows, or a plain text. DataError where nothing can be read.

    Of a task folder, the questions of its test rows (all their turns), with `answers` also every accepted answer. Of a
    file of rows (.jsonl, .csv, .parquet, …) every text in every row. A .txt or .md file is one text.
    """
    path = Path(source)
    if path.is_dir():
        return list(_of_task(Task.load(path), answers))
    if path.name.lower().endswith(ALL_EXTENSIONS):
        return [HeldOut(path.name.split(".")[0], where, text) for where, row in read_rows(path) for text in _texts(row)]
    if path.suffix.lower() not in TEXT_EXTENSIONS:
        hint = f"give a task folder, a file of rows ({', '.join(ALL_EXTENSIONS[::3])}) or a .txt file"
        raise DataError("is nothing to keep training documents clean of", where=str(path), hint=hint)
    try:
        return [HeldOut(path.stem, path.name, path.read_text(encoding="utf-8"))]
    except (OSError, UnicodeDecodeError) as error:
        hint = "check the path, and that it is UTF-8 text"
        raise DataError(f"cannot be read: {error}", where=str(path), hint=hint) from None


def _of_task(task: Task, answers: bool) -> Iterator[HeldOut]:
    for row in task.test:
        yield HeldOut(task.name, row.id, "\n".join(turn["content"] for turn in row.messages))
        if answers:
            yield from (HeldOut(task.name, row.id, answer) for answer in row.answers)


def _texts(value: Any) -> Iterator[str]:
    """Every text inside a row, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
