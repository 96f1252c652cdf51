"""A task folder from rows that a program holds."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sartor.api.configured import Place
from sartor.base.durable import replace_file
from sartor.base.errors import UsageError
from sartor.base.yaml_schema import Dumper
from sartor.data.task import Task
from sartor.data.writers import write_jsonl

Rows = Iterable[Mapping[str, Any]]


def write_task(
    folder: Place,
    *,
    scorer: str,
    test: Rows,
    train: Rows = (),
    dev: Rows = (),
    instruction: str = "",
    description: str = "",
    documents: Place | None = None,
    limits: Mapping[str, Any] | None = None,
) -> Path:
    """Write a new task folder and read it back, so that what is wrong with it is told now.

    Args:
        folder: a place where nothing is yet.
        scorer: how answers are scored: exact, label, f1, contains, numeric, json, …
        test, train, dev: rows of `question` (or `messages`) and `answer`, with `group` and `evidence` if known.
        documents: a folder that is copied.
        limits: such as `{"local_only": True, "p95_seconds": 2, "margin": 0.02}`.

    Raises:
        UsageError: for a folder that holds something already; DataError for a row that is wrong. The folder is removed
            again then.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("there is something already", where=str(folder), hint="name a new folder")
    settings = {
        "name": folder.resolve().name,
        "description": description,
        "instruction": instruction,
        "scorer": scorer,
        "limits": dict(limits or {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    try:
        given = {key: value for key, value in settings.items() if value}
        text = yaml.dump(given, Dumper=Dumper, sort_keys=False, allow_unicode=True)
        replace_file(folder / "task.yaml", text)
        for name, rows in (("train", list(train)), ("dev", list(dev)), ("test", list(test))):
            if rows:
                write_jsonl(folder / f"{name}.jsonl", rows)
        if documents is not None:
            shutil.copytree(documents, folder / "documents")
        Task.load(folder)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return folder
