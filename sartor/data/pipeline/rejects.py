"""Dropped documents: kept as they were when they were dropped, with the step, the reason and, where there is more to
say, a detail (of a duplicate, which document was kept in its place)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sartor.base.errors import DataError
from sartor.data.document_file import read_document_file
from sartor.data.documents import SCHEMA as DOCUMENT_SCHEMA
from sartor.data.documents import TEXT

SUBFOLDER = "rejects"
SCHEMA = pa.schema(
    [
        *DOCUMENT_SCHEMA,
        pa.field("step", TEXT, nullable=False),
        pa.field("reason", TEXT, nullable=False),
        pa.field("detail", TEXT),
    ]
)


def rejects_table(documents: pa.Table, step: str, reasons: pa.Array, details: pa.Array | None = None) -> pa.Table:
    """Dropped documents [rows] with their reasons [rows]."""
    rows = documents.num_rows
    columns = [
        *documents.columns,
        pa.repeat(pa.scalar(step, TEXT), rows),
        reasons.cast(TEXT),
        pa.nulls(rows, TEXT) if details is None else details.cast(TEXT),
    ]
    return pa.table(columns, schema=SCHEMA)


@dataclass(frozen=True)
class Reject:
    """One dropped document, to be shown."""

    id: str
    source: str
    step: str
    reason: str
    detail: str | None
    text: str

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def read_rejects(folder: Path, reason: str | None = None, most: int | None = None) -> Iterator[Reject]:
    """Dropped documents of a prepared folder in the order in which they came; DataError when there are no rejects."""
    rejects = folder / SUBFOLDER
    if not rejects.is_dir():
        hint = "give the folder that `sartor prepare … --out` made"
        raise DataError("holds no rejects", where=str(folder), hint=hint)
    left = most
    for path in sorted(rejects.glob("*.parquet")):
        for table in read_document_file(path, schema=SCHEMA):
            chosen = table if reason is None else table.filter(pc.equal(table["reason"], reason))
            chosen = chosen.slice(0, left)
            for row in chosen.select(list(Reject.__dataclass_fields__)).to_pylist():
                yield Reject(**row)
            left = None if left is None else left - chosen.num_rows
            if left == 0:
                return
