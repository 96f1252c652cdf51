"""One Parquet file of documents, written and read in bounded pieces.

Row groups end where one more document would exceed `TABLE_BYTES` of text or `TABLE_ROWS` documents, so that a reader
holds no more than that, and the file's bytes do not depend on how the documents came.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sartor.base.durable import file_sha256, sync_folder, write_error
from sartor.base.errors import DataError
from sartor.data.documents import SCHEMA

TABLE_BYTES = 8_000_000
TABLE_ROWS = 20_000
FILE_BYTES = 64_000_000
REPETITIVE = ["media_type", "source", "licence", "language"]  # columns worth a dictionary


@dataclass(frozen=True)
class DocumentFile:
    """`name` is relative to the folder of documents; `text_bytes` are of the texts in UTF-8."""

    name: str
    rows: int
    text_bytes: int
    file_bytes: int
    sha256: str


class DocumentFileWriter:
    """Writes `folder/name` beside its place; `finish` syncs it and renames it there. SartorError when it cannot.

    `schema` may have more columns than a document has.
    """

    def __init__(self, folder: Path, name: str, schema: pa.Schema = SCHEMA):
        self.name, self.path, self.schema = name, folder / name, schema
        self.rows = self.text_bytes = 0
        self._temporary = self.path.with_name(f".{self.path.name}.part")
        self._pending: list[pa.Table] = []
        self._pending_bytes = self._pending_rows = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._parquet = pq.ParquetWriter(
                self._temporary, schema, compression="zstd", use_dictionary=REPETITIVE, write_statistics=False
            )
        except OSError as error:
            raise write_error(error, self.path, 0) from error

    def add(self, table: pa.Table) -> None:
        """Append documents, of which at most one row group is kept in memory."""
        table = checked(table, self.path, self.schema)
        while table.num_rows:
            most_rows = TABLE_ROWS - self._pending_rows
            used = self._pending_bytes if self._pending else None
            rows = rows_that_fit(table, used, TABLE_BYTES, most_rows)
            if rows == 0:
                self._write_row_group()
                continue
            part = table.slice(0, rows)
            num_bytes = text_bytes(part)
            self._pending.append(part)
            self._pending_rows += rows
            self._pending_bytes += num_bytes
            self.rows += rows
            self.text_bytes += num_bytes
            table = table.slice(rows)

    def finish(self) -> DocumentFile:
        """The file is in its place, whole and durable."""
        try:
            self._write_row_group()
            self._parquet.close()
            sha256, file_bytes = file_sha256(self._temporary), self._temporary.stat().st_size
            _sync(self._temporary)
            os.replace(self._temporary, self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            self.abandon()
            raise write_error(error, self.path, self.text_bytes) from error
        return DocumentFile(self.name, self.rows, self.text_bytes, file_bytes, sha256)

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._pending = []
        with contextlib.suppress(OSError):  # the disk is full: nobody misses the end of a file that goes away
            self._parquet.close()
        self._temporary.unlink(missing_ok=True)

    def _write_row_group(self) -> None:
        if not self._pending:
            return
        group = pa.concat_tables(self._pending).combine_chunks()
        self._pending, self._pending_bytes, self._pending_rows = [], 0, 0
        try:
            self._parquet.write_table(group, row_group_size=group.num_rows)
        except OSError as error:
            self.abandon()
            raise write_error(error, self.path, self.text_bytes) from error


def read_document_file(path: Path, max_bytes: int = TABLE_BYTES, schema: pa.Schema = SCHEMA) -> Iterator[pa.Table]:
    """The documents of a file in order, in tables of at most `max_bytes` of text, or of one document that is longer.

    DataError when it is not a Parquet file of documents.
    """
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                table = checked(file.read_row_group(group, use_threads=False), path, schema)
                while table.num_rows:
                    rows = rows_that_fit(table, None, max_bytes, table.num_rows)
                    yield table.slice(0, rows)
                    table = table.slice(rows)
    except (pa.ArrowException, OSError) as error:
        what = f"cannot be read as Parquet: {str(error).splitlines()[0]}"
        raise DataError(what, where=str(path), hint="make the file again, or restore it") from error


def checked(table: pa.Table, where: Path, schema: pa.Schema = SCHEMA) -> pa.Table:
    """`table` with exactly the columns of `schema`, or DataError."""
    if table.schema.equals(schema):
        return table
    missing = [name for name in schema.names if name not in table.column_names]
    more = [name for name in table.column_names if name not in schema.names]
    if missing or more:
        what = "these are not documents: " + "; ".join(
            f"{word} columns {', '.join(names)}" for word, names in (("missing", missing), ("unknown", more)) if names
        )
        raise DataError(what, where=str(where), hint="`sartor collect` makes folders of documents")
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"these are not documents: {error}", where=str(where)) from error


def text_bytes(table: pa.Table) -> int:
    """Of all texts, in UTF-8."""
    return pc.sum(pc.binary_length(table["text"])).as_py() or 0


def rows_that_fit(table: pa.Table, used_bytes: int | None, max_bytes: int, max_rows: int) -> int:
    """How many of the first documents fit where `used_bytes` of `max_bytes` of text are taken.

    None for `used_bytes` says that nothing is there yet: then one document fits, whatever its length.
    """
    ends = np.cumsum(pc.binary_length(table["text"]).to_numpy())
    fitting = int(np.searchsorted(ends, max_bytes - (used_bytes or 0), side="right"))
    return min(max(fitting, 1 if used_bytes is None else 0), max_rows)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
