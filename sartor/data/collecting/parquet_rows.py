"""Rows of Parquet files that may be hostile: a page of a few kilobytes can stand for gigabytes of equal texts.

Columns of text are read as dictionaries, in which a repeated text stands once, and turned into rows a few at a time.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from sartor.base.errors import DataError
from sartor.data.collecting.entry import ReadingLimits
from sartor.data.opening import first_line, opened

BATCH_ROWS = 256
BATCH_BYTES = 64_000_000  # of text, when rows are made
LARGEST_PACKED_BYTES = 2_000_000_000  # a .parquet.gz is unpacked in memory, because Parquet is read from its end
HINT = "write it again, or give the rows as .jsonl"


def read_parquet(path: Path, limits: ReadingLimits, packed: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number from 1, row) with the columns that hold texts, numbers or times; nested ones are left out.

    A text that is too long to be a document is cut just past the limit, so that it is refused as such. DataError for a
    damaged file.
    """
    try:
        with opened(path) as stream:
            source = pa.BufferReader(_all(stream, path)) if packed else stream
            schema = pq.read_schema(source)
            source.seek(0)
            texts = [each.name for each in schema if _is_text(each.type)]
            file = pq.ParquetFile(source, read_dictionary=texts, page_checksum_verification=True)
            columns = [each.name for each in schema if not pa.types.is_nested(each.type)]
            number = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for row in _rows(batch, limits.document_bytes):
                    number += 1
                    yield number, row
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"is not a readable Parquet file: {first_line(error)}", where=str(path), hint=HINT) from None


def _all(stream: Any, path: Path) -> bytes:
    data = stream.read(LARGEST_PACKED_BYTES + 1)
    if len(data) > LARGEST_PACKED_BYTES:
        raise DataError("is too large to be read packed", where=str(path), hint="unpack it first")
    return bytes(data)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _rows(batch: pa.RecordBatch, document_bytes: int) -> Iterator[dict[str, Any]]:
    """A few rows at once where their texts are sure to fit, else one by one."""
    longest = sum(_longest(column) for column in batch.columns)
    is_cut = longest > document_bytes
    step = 1 if is_cut else max(1, min(batch.num_rows, BATCH_BYTES // max(longest, 1)))
    for start in range(0, batch.num_rows, step):
        part = batch.slice(start, step)
        if is_cut:
            yield {name: _cut(column, document_bytes) for name, column in zip(part.schema.names, part, strict=True)}
        else:
            yield from part.to_pylist()


def _longest(column: pa.Array) -> int:
    """Bytes of the longest text among a column's values; 0 for numbers."""
    if not pa.types.is_dictionary(column.type):
        return 0
    return pyarrow.compute.max(pyarrow.compute.binary_length(column.dictionary)).as_py() or 0


def _cut(column: pa.Array, document_bytes: int) -> Any:
    """The only value of the column; of a text that is too long, just more than a document may have."""
    value = column[0].as_py()
    return value[: document_bytes + 1] if isinstance(value, str) else value
