"""What a report is made of: sections of sentences, pictures and tables; every form of it shows them in its own way."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Cell = tuple[str, str]  # what is said, and a remark in small print


@dataclass(frozen=True)
class Row:
    """A line of a table; its first cell says what the line is about. A `marked` one is what the verdict names."""

    cells: tuple[Cell, ...]
    marked: bool = False


@dataclass(frozen=True)
class Table:
    """`folded`: the words to open it by; an open table has none."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    folded: str = ""


@dataclass(frozen=True)
class Picture:
    """`draw(narrow)` gives the chart as SVG, for a wide page or for a phone."""

    draw: Callable[[bool], str]
    caption: str


@dataclass(frozen=True)
class Section:
    """`name` is its anchor. A section about which nothing is known does not exist, rather than being empty."""

    name: str
    title: str
    sentences: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()


def row(*cells: str | Cell, marked: bool = False) -> Row:
    return Row(tuple((cell, "") if isinstance(cell, str) else cell for cell in cells), marked)


def table(caption: str, columns: Sequence[str], rows: Iterable[Row], folded: str = "") -> tuple[Table, ...]:
    """The table, or nothing where it would have no rows. Columns in which no row says anything are left out."""
    rows = tuple(rows)
    told = [index == 0 or any(line.cells[index][0] not in ("", "—") for line in rows) for index in range(len(columns))]
    kept = tuple(Row(tuple(cell for cell, keep in zip(line.cells, told, strict=True) if keep), line.marked)
                 for line in rows)  # fmt: skip
    headings = tuple(column for column, keep in zip(columns, told, strict=True) if keep)
    return (Table(caption, headings, kept, folded),) if rows else ()
