"""Rows from JSON Lines, JSON, CSV, TSV and Parquet files, each with the place it came from.

JSON Lines, CSV and Parquet are streamed; a .json file is read whole. Blank lines are not rows.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sartor.base.errors import DataError
from sartor.data.bad_rows import BadRow, BadRows
from sartor.data.csv_reader import read_table
from sartor.data.json_reader import read_json, read_json_lines
from sartor.data.opening import arrow, check_data_file, first_line, opened

UTF8_HINT = "write the column as UTF-8"
PlacedRows = Iterator[tuple[str, dict[str, Any]]]


def read_rows(path: str | Path, bad_rows: BadRows | None = None) -> PlacedRows:
    """`(where, row)` for every row of `path`.

    `where` is `file:line`, for .json `file: item N`, for .parquet `file: row N` (from 1). The path is checked
    at once, rows are read as they are asked for. DataError for a file that cannot be read at all or holds no
    row; a single bad row goes to `bad_rows` (default: stop with a BadRow).
    """
    path = Path(path)
    read = _READERS[check_data_file(path)]
    return _at_least_one(path, read, bad_rows or BadRows(can_skip=False))


def _at_least_one(path: Path, read: Callable[[Path, BadRows], PlacedRows], bad_rows: BadRows) -> PlacedRows:
    rejected_before = len(bad_rows.rejects)
    empty = True
    for placed in read(path, bad_rows):
        empty = False
        yield placed
    if empty and len(bad_rows.rejects) == rejected_before:
        raise DataError("holds no rows", where=str(path), hint="was it written to the end?")


def _parquet(path: Path, bad_rows: BadRows) -> PlacedRows:
    pyarrow = arrow()
    try:
        with opened(path) as stream:
            packed = path.suffix.lower() != ".parquet"
            source = pyarrow.BufferReader(stream.read()) if packed else stream
            file = pyarrow.parquet.ParquetFile(source, page_checksum_verification=True)
            before = 0
            for batch in file.iter_batches(batch_size=1024):
                batch = _without_nanoseconds(batch)
                for index, row in enumerate(_batch_rows(batch)):
                    place = f"{path}: row {before + index + 1}"
                    if row is not None:
                        yield place, row
                        continue
                    error = BadRow("holds text that is not UTF-8", place=place, hint=UTF8_HINT)
                    bad_rows.handle(error, str(batch.slice(index, 1)))
                before += batch.num_rows
    except (pyarrow.ArrowException, ValueError) as error:  # damaged names and texts: plain ValueErrors
        what = f"is not a readable Parquet file: {first_line(error)}"
        raise DataError(what, where=str(path), hint="write it again, or give the rows as .jsonl") from None


def _without_nanoseconds(batch: Any) -> Any:
    """The batch with times to the microsecond, which is as fine as Python's own are."""
    for place, field in enumerate(batch.schema):
        coarser = _to_microseconds(field.type)
        if coarser != field.type:
            batch = batch.set_column(place, field.with_type(coarser), batch.column(place).cast(coarser, safe=False))
    return batch


def _to_microseconds(kind: Any) -> Any:
    """The type with microseconds for nanoseconds, also inside lists, maps and structures."""
    types = arrow().types
    if types.is_timestamp(kind) and kind.unit == "ns":
        return arrow().timestamp("us", kind.tz)
    if types.is_duration(kind) and kind.unit == "ns":
        return arrow().duration("us")
    if types.is_time64(kind) and kind.unit == "ns":
        return arrow().time64("us")
    if types.is_struct(kind):
        return arrow().struct([field.with_type(_to_microseconds(field.type)) for field in kind])
    if types.is_map(kind):
        return arrow().map_(kind.key_type, kind.item_field.with_type(_to_microseconds(kind.item_type)))
    if types.is_fixed_size_list(kind):
        return arrow().list_(kind.value_field.with_type(_to_microseconds(kind.value_type)), kind.list_size)
    if types.is_list(kind):
        return arrow().list_(kind.value_field.with_type(_to_microseconds(kind.value_type)))
    if types.is_large_list(kind):
        return arrow().large_list(kind.value_field.with_type(_to_microseconds(kind.value_type)))
    return kind


def _batch_rows(batch: Any) -> list[dict[str, Any] | None]:
    """The rows of a batch; None for a row that holds invalid text."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError:
        if batch.num_rows == 1:
            return [None]
        return [row for index in range(batch.num_rows) for row in _batch_rows(batch.slice(index, 1))]


_READERS: dict[str, Callable[[Path, BadRows], PlacedRows]] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".csv": partial(read_table, delimiter=","),
    ".tsv": partial(read_table, delimiter="\t"),
    ".parquet": _parquet,
}
