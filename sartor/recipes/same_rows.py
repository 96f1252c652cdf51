"""A run goes on with the very rows that it was begun with: what it keeps of them (log-probabilities of the reference,
rewards before the first step, its place in their order) is of no others."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from sartor.base.console import warn
from sartor.base.errors import UsageError
from sartor.base.run_folder import RunFolder
from sartor.data.chat import ChatFormat, Rendered

ROWS_FILE = "rows.json"  # of the run
PLACE = "where"  # of a row: a line that moves is the same row
DATE_CALL = "strftime_now"  # a template that writes the day of rendering into every row


def rows_hash(prepared: Any) -> str:
    """SHA-256 of all that stands in the lists of what was prepared, in its order: rows and pairs as token ids and
    marks, prompts with their accepted answers."""
    found = hashlib.sha256()
    for field in dataclasses.fields(prepared):
        rows = getattr(prepared, field.name)
        if isinstance(rows, list):
            found.update(f"{field.name} {len(rows)} ".encode())
            for row in rows:
                for part in _parts(row):
                    found.update(part)
    return found.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    """What is hashed of a row, apart from its place."""
    if isinstance(value, Rendered):
        yield f"{len(value.ids)} ".encode()
        yield np.asarray(value.ids, dtype="<i4").tobytes()
        yield bytes(value.trained)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name != PLACE:
                yield from _parts(getattr(value, field.name))
    else:
        yield json.dumps(value, sort_keys=True).encode()


def rows_mark(prepared: Any, chat: ChatFormat) -> dict[str, Any]:
    """What a run keeps of its rows: their hash, and the day where the template writes it into them."""
    return {"sha256": rows_hash(prepared), "day": date.today().isoformat() if DATE_CALL in chat.template else None}


def check_rows(mark: dict[str, Any], out: str) -> None:
    """UsageError when the run at `out` was begun with other rows than those of the mark; one that was begun before
    marks were kept may go on. Asked before anything is learnt or written."""
    if not (Path(out) / ROWS_FILE).is_file():
        return
    begun = RunFolder(out).read_json(ROWS_FILE)
    if begun["sha256"] == mark["sha256"]:
        return
    if begun["day"] != mark["day"]:
        warn("the model's template writes the day into every row, so it cannot be told whether the rows are the same")
        return
    raise UsageError(
        "the rows have changed since this run began, or how the model's template and tokenizer write them",
        where=out,
        hint="put data and model back as they were, or choose another --out",
    )


def keep_rows_mark(mark: dict[str, Any], folder: RunFolder) -> None:
    """As it was when the run began, where it goes on."""
    if not (folder.path / ROWS_FILE).is_file():
        folder.write_json(ROWS_FILE, mark)
