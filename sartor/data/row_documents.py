"""Rows of a table file (JSONL, JSON, CSV, TSV, Parquet) as documents: a text, perhaps an id and a title; every other
field that holds one value may be searched by."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sartor.base.durable import format_bytes
from sartor.base.errors import DataError
from sartor.data.opening import EXTENSIONS
from sartor.data.parsers.parsed import Scalar, tidy
from sartor.data.readers import read_rows

LINES = (".jsonl", ".ndjson")
TEXT_FIELDS = ("id", "title", "text")
MARKS_AND_BLANKS = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"  # what may stand before the first character, in UTF-16 too


@dataclass
class RowDocuments:
    """The documents of one file. `left_out` counts, once the rows are read, fields that hold no single value."""

    path: Path
    name: str
    max_bytes: int
    left_out: Counter[str] = field(default_factory=Counter)

    def read(self) -> Iterator[tuple[str, str, str, dict[str, Scalar], str]]:
        """(id, title, text, metadata, where) of every row. DataError for a row that is none."""
        for where, row in self._rows():
            known = _texts(row, where)
            if len(known["text"].encode()) > self.max_bytes:
                raise _too_large(self.max_bytes, where)
            number = where.rpartition(" ")[2].rpartition(":")[2]
            yield known["id"] or f"{self.name}:{number}", known["title"], tidy(known["text"]), self._facts(row), where

    def _rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if self.path.suffix.lower() in LINES:
            yield from _lines(self.path, self.max_bytes)
        else:
            yield from read_rows(self.path)

    def _facts(self, row: Mapping[str, Any]) -> dict[str, Scalar]:
        facts: dict[str, Scalar] = {}
        for name, value in row.items():
            if name in TEXT_FIELDS or value is None:
                continue
            if isinstance(value, str | int | float | bool) and not (isinstance(value, float) and math.isnan(value)):
                facts[str(name)] = value
            elif hasattr(value, "isoformat"):
                facts[str(name)] = value.isoformat()
            else:
                self.left_out[str(name)] += 1
        return facts


def holds_documents(path: Path) -> bool:
    """Whether the first row of a table file has a text. A damaged file is said to, so that reading it names it, and
    what is known of it is not taken for gone."""
    if path.suffix.lower() in LINES:
        return True
    try:
        _, row = next(iter(read_rows(path)))
        return "text" in row
    except DataError:
        return path.suffix.lower() == ".parquet" or (path.suffix.lower() == ".json" and _is_damaged_list(path))


def _is_damaged_list(path: Path) -> bool:
    """Of a .json file that gives no rows: whether it was a list of them. Settings (an object, perhaps with comments)
    and lists of something else are not."""
    content = path.read_bytes()
    if not content.lstrip(MARKS_AND_BLANKS).startswith(b"["):
        return False
    try:
        items = json.loads(content)
    except (ValueError, RecursionError):
        return True
    return bool(items) and isinstance(items[0], dict) and "text" in items[0]


def is_table(path: Path) -> bool:
    """Whether rows can be read from a file of this name (compressed ones are for `sartor collect`)."""
    return path.suffix.lower() in EXTENSIONS


def _lines(path: Path, max_bytes: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of a JSONL file, none longer than `max_bytes`."""
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(max_bytes + 1):
            number += 1
            where = f"{path}:{number}"
            if len(line) > max_bytes:
                raise _too_large(max_bytes, where)
            if line.strip():
                yield where, _object(line, where)


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8-sig"), parse_constant=_no_constant)
        json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        hint = 'write one document a line: {"id": …, "text": …}'
        raise DataError(f"not a JSON object in UTF-8: {error}", where=where, hint=hint) from None
    if not isinstance(row, dict):
        raise DataError("a row must be a JSON object", where=where, hint='like {"id": "a", "text": "…"}')
    return row


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _texts(row: Mapping[str, Any], where: str) -> dict[str, str]:
    """`id` and `title` ("" where absent) and `text`."""
    if "text" not in row:
        raise DataError(
            f"no field text (fields: {', '.join(row) or 'none'})",
            where=f"{where}, text",
            hint="rename the field that holds the document's text",
        )
    id, title, text = row.get("id"), row.get("title"), row["text"]
    fields = {"id": str(id) if type(id) is int else id or "", "title": title or "", "text": text}
    for name, value in fields.items():
        if not isinstance(value, str):
            shown = json.dumps(value, default=str)[:40]
            raise DataError(f"{name} must be a text, not {shown}", where=f"{where}, {name}", hint="put it in quotes")
    return fields


def _too_large(max_bytes: int, where: str) -> DataError:
    return DataError(
        f"too large for one document: over {format_bytes(max_bytes)}",
        where=where,
        hint="one JSON object a line; split long texts into several rows",
    )
