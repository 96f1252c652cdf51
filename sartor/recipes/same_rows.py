"""A run goes on with the very rows that it was begun with: what it keeps of them (log-probabilities of the reference,
rewards before the first step, its place in their order) is of no others."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sartor.base.errors import UsageError
from sartor.base.run_folder import RunFolder
from sartor.data.chat import Rendered

ROWS_FILE = "rows.json"  # of the run
PLACE = "where"  # of a row: a line that moves is the same row


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


def check_rows(rows: str, out: str) -> None:
    """UsageError when the run at `out` was begun with other rows than those of the hash; one that was begun before
    hashes were kept may go on. Asked before anything is learnt or written."""
    file = Path(out) / ROWS_FILE
    if file.is_file() and RunFolder(out).read_json(ROWS_FILE) != {"sha256": rows}:
        raise UsageError(
            "the rows have changed since this run began",
            where=out,
            hint="put their file back as it was, or choose another --out",
        )


def keep_rows_hash(rows: str, folder: RunFolder) -> None:
    folder.write_json(ROWS_FILE, {"sha256": rows})
