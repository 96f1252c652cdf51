"""Tables as text that is found again: every row names its columns, so that a part of a table still says what it is."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from sartor.data.parsers.decoding import decode_text
from sartor.data.parsers.parsed import Parsed, Unreadable, tidy

SEPARATORS = (",", ";", "\t", "|")
LONGEST_CELL = 10_000_000


def table_text(rows: Iterable[Sequence[str]]) -> str:
    """A line a row: `name: value | name: value` below a header, else `| value | value |`. Empty rows and cells go."""
    cleaned = ([" ".join(cell.split()) for cell in row] for row in rows)
    filled = (row for row in cleaned if any(row))
    first = next(filled, None)
    if first is None:
        return ""
    second = next(filled, None)
    if second is None or not is_header(first):
        lines = chain([first], [] if second is None else [second], filled)
        return "\n".join(f"| {' | '.join(row)} |" for row in lines)
    return "\n".join(_named(first, row) for row in chain([second], filled))


def is_header(row: Sequence[str]) -> bool:
    """Whether a first row names columns: words, each once, no number among them."""
    names = [cell for cell in row if cell]
    return len(names) == len(set(names)) > 1 and not any(_is_number(name) for name in names)


def _named(names: Sequence[str], row: Sequence[str]) -> str:
    cells = []
    for number, cell in enumerate(row):
        name = names[number] if number < len(names) else ""
        if cell:
            cells.append(f"{name}: {cell}" if name else cell)
    return " | ".join(cells)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ".").rstrip("%"))
    except ValueError:
        return False
    return True


def parse_commas(data: bytes) -> Parsed:
    """A .csv file; some programs separate by semicolons, so the header decides."""
    text, notices = decode_text(data)
    header = text.partition("\n")[0]
    return _parsed(text, max(SEPARATORS, key=header.count), notices)


def parse_tabs(data: bytes) -> Parsed:
    """A .tsv file."""
    text, notices = decode_text(data)
    return _parsed(text, "\t", notices)


def _parsed(text: str, separator: str, notices: tuple[str, ...]) -> Parsed:
    return Parsed("", tidy(table_text(_rows(text, separator))), notices=notices)


def _rows(text: str, separator: str) -> Iterator[list[str]]:
    csv.field_size_limit(LONGEST_CELL)
    try:
        yield from csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    except csv.Error as error:
        raise Unreadable(f"not a well-formed table: {error}", "close every quote, or save it again") from None
