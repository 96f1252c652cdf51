"""Documents from tables: a row of JSON Lines, JSON, CSV, TSV or Parquet that has a text column is a document."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sartor.base.durable import format_bytes
from sartor.base.errors import DataError
from sartor.data.bad_rows import BadRow, BadRows
from sartor.data.collecting.entry import Entries, Found, ReadingLimits, Rejected
from sartor.data.collecting.licences import licence_of
from sartor.data.collecting.parquet_rows import read_parquet
from sartor.data.opening import check_data_file, opened
from sartor.data.parsers.parsed import tidy
from sartor.data.readers import read_rows

MOST_BAD_ROWS_IN_A_ROW = 10_000
LARGEST_JSON_BYTES = 256 * 1024 * 1024  # a .json file is read whole
LONGEST_METADATA = 10_000  # characters
RAW_CHARACTERS = 2_000
Row = Mapping[str, Any]


def read_row_documents(path: Path, name: str, limits: ReadingLimits) -> Entries:
    """The document of every row. DataError when the file cannot be read (on), or has no text column."""
    kind = check_data_file(path)
    if kind == ".json":
        _refuse_large_json(path)
    bad_rows = _Rejects(name)
    packed = path.suffix.lower() in (".gz", ".zst")
    rows = read_parquet(path, limits, packed) if kind == ".parquet" else _placed(read_rows(path, bad_rows))
    try:
        yield from _documents(rows, bad_rows, path, name, limits)
    except DataError:
        yield from bad_rows.drain()
        raise
    yield from bad_rows.drain()


def _documents(
    rows: Iterator[tuple[int, Row]], bad_rows: "_Rejects", path: Path, name: str, limits: ReadingLimits
) -> Entries:
    """DataError when the first row shows that the file has no text column."""
    is_first = True
    for number, row in rows:
        yield from bad_rows.drain()
        if is_first and limits.text_field not in row:
            hint = f"name it: --text-field one of {', '.join(list(row)[:20])}"
            raise DataError(f"has no column {limits.text_field}", where=str(path), hint=hint)
        is_first = False
        yield _document(row, f"{name}#{number}", name, limits)


@dataclass
class _Rejects(BadRows):
    """Bad rows become rejects of the collection; a file that is nothing but bad rows is given up."""

    name: str = ""
    waiting: list[Rejected] = field(default_factory=list)

    def __init__(self, name: str):
        super().__init__("skip", can_skip=False)
        self.name, self.waiting = name, []

    def handle(self, error: BadRow, raw: Any) -> None:
        if not self.rejects:
            super().handle(error, raw)  # the reader asks whether there were any
        if len(self.waiting) >= MOST_BAD_ROWS_IN_A_ROW:
            what = f"{MOST_BAD_ROWS_IN_A_ROW:,} rows one after the other cannot be read"
            raise DataError(what, where=error.place, hint="the rest of the file is left out")
        shown = raw if isinstance(raw, str) else json.dumps(raw, default=str)
        self.waiting.append(
            Rejected(f"{self.name}#{_number(error.place)}", "bad_row", error.what, shown[:RAW_CHARACTERS])
        )

    def drain(self) -> Iterator[Rejected]:
        yield from self.waiting
        self.waiting.clear()


def _placed(rows: Iterator[tuple[str, Row]]) -> Iterator[tuple[int, Row]]:
    return ((_number(place), row) for place, row in rows)


def _number(place: str) -> int:
    """Of `file:12`, `file: item 12` or `file: row 12`."""
    found = re.search(r"(\d+)$", place)
    return int(found[1]) if found else 0


def _document(row: Row, id: str, name: str, limits: ReadingLimits) -> Found | Rejected:
    text = row.get(limits.text_field)
    if not isinstance(text, str):
        what = "has no column" if limits.text_field not in row else f"holds {json.dumps(text, default=str)[:40]} in"
        return Rejected(
            id, "no_text", f"the row {what} {limits.text_field}", json.dumps(row, default=str)[:RAW_CHARACTERS]
        )
    text = tidy(text)
    if not text:
        return Rejected(id, "empty", "the row has no text")
    if len(text) > limits.document_bytes or len(text.encode("utf-8", "replace")) > limits.document_bytes:
        return Rejected(id, "too_large", f"too large for one document: over {format_bytes(limits.document_bytes)}")
    url, title = row.get("url"), row.get("title")
    return Found(
        id,
        text,
        url if isinstance(url, str) and url.startswith(("http://", "https://")) else name,
        time=_time(row.get("time") or row.get("date")),
        licence=_licence(row) or limits.licence,
        title=" ".join(title.split()) or None if isinstance(title, str) else None,
        metadata=_metadata(row, limits.text_field),
    )


def _licence(row: Row) -> str | None:
    stated = row.get("licence") or row.get("license")
    return licence_of(stated) if isinstance(stated, str) else None


def _time(value: Any) -> str | None:
    """ISO 8601; None for a time that is written in another way (it stays in the metadata)."""
    if isinstance(value, date | datetime):
        return value.isoformat()
    try:
        return datetime.fromisoformat(value).isoformat() if isinstance(value, str) else None
    except ValueError:
        return None


def _metadata(row: Row, text_field: str) -> dict[str, Any] | None:
    """All other columns; if they are longer than the limit, their names."""
    others = {key: _plain(value) for key, value in row.items() if key != text_field and value is not None}
    if len(json.dumps(others)) > LONGEST_METADATA:
        return {"columns_left_out": list(others)[:100]}
    return others or None


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _refuse_large_json(path: Path) -> None:
    size = 0
    with opened(path) as stream:
        while size <= LARGEST_JSON_BYTES and (piece := stream.read(1 << 20)):
            size += len(piece)
    if size > LARGEST_JSON_BYTES:
        limit = format_bytes(LARGEST_JSON_BYTES)
        raise DataError(f"a .json file is read whole, and this has over {limit}", where=str(path), hint="write .jsonl")
