"""Rows from tables of separated values (CSV, TSV): RFC 4180 quoting, the first row names the columns."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from sartor.base.errors import DataError
from sartor.data.bad_rows import BadRow, BadRows
from sartor.data.opening import LONGEST_LINE_BYTES, decode, numbered_lines, opened

Row = dict[str, Any]


def read_table(path: Path, bad_rows: BadRows, delimiter: str) -> Iterator[tuple[str, Row]]:
    """Every cell is text. A row with more or fewer cells than the header is bad; a bad header is an error."""
    csv.field_size_limit(LONGEST_LINE_BYTES)
    with opened(path) as stream:
        yield from _table(_TextLines(stream, path), path, delimiter, bad_rows)


class _TextLines:
    """Decoded lines for the csv module; remembers the raw lines of the current row and what was not UTF-8."""

    def __init__(self, stream: BinaryIO, path: Path):
        self.path = path
        self._lines = numbered_lines(stream, path)
        self.raw: list[str] = []
        self.problem: BadRow | None = None

    def __iter__(self) -> Iterator[str]:
        for number, line in self._lines:
            try:
                text = decode(line, f"{self.path}:{number}")
            except BadRow as error:
                self.problem = error
                text = line.decode("utf-8", "backslashreplace")
            self.raw.append(text)
            yield text

    def start_row(self) -> None:
        self.raw.clear()
        self.problem = None


def _table(lines: _TextLines, path: Path, delimiter: str, bad_rows: BadRows) -> Iterator[tuple[str, Row]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    while True:
        lines.start_row()
        place = f"{path}:{reader.line_num + 1}"
        try:
            cells = _next_cells(reader, place)
            if cells is None:
                return
            if lines.problem:
                raise lines.problem
            if columns is None:
                columns = _header(cells, place, delimiter) if cells else None
            elif cells:
                yield place, _cells_row(columns, cells, place)
        except BadRow as error:
            if columns is None:
                raise
            bad_rows.handle(error, "".join(lines.raw).rstrip("\r\n"))


def _next_cells(reader: Any, place: str) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        reason = "a quote is opened and never closed" if "unexpected end" in str(error) else str(error)
        hint = 'write a quote inside a quoted cell twice ("") and close every quote'
        raise BadRow(f"is not well-formed: {reason}", place=place, hint=hint) from None


def _header(cells: list[str], place: str, delimiter: str) -> list[str]:
    columns = [cell.strip() for cell in cells]
    twice = {column for column in columns if columns.count(column) > 1}
    if twice:
        raise DataError(f"two columns are called '{twice.pop()}'", where=place, hint="give each its own name")
    if len(columns) == 1:
        for other, name in ((";", "semicolons"), ("\t", "tabs"), (",", "commas")):
            if other in columns[0] and other != delimiter:
                hint = "save it with commas as .csv or with tabs as .tsv"
                raise DataError(f"the columns are separated by {name}", where=place, hint=hint)
    return columns


def _cells_row(columns: list[str], cells: list[str], place: str) -> Row:
    if len(cells) != len(columns):
        what = f"has {len(cells)} cells where the header has {len(columns)} columns"
        hint = "put quotes around a cell that holds a separator or a line break"
        raise BadRow(what, place=place, hint=hint)
    return dict(zip(columns, cells, strict=True))
