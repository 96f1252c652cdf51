"""Workbooks (Office Open XML, ECMA-376 part 1, SpreadsheetML): every sheet as a section, its rows as lines that name
their columns. Formulas give the result that was stored with them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sartor.data.parsers.docx import office_properties
from sartor.data.parsers.parsed import Parsed, Unreadable, tidy
from sartor.data.parsers.relations import REFERENCE, relations_of
from sartor.data.parsers.safe_xml import xml_events
from sartor.data.parsers.safe_zip import SafeZip
from sartor.data.parsers.table import table_text

WORKBOOK, STRINGS, STYLES, PROPERTIES = "xl/workbook.xml", "xl/sharedStrings.xml", "xl/styles.xml", "docProps/core.xml"
MOST_COLUMNS = 16_384  # of the format
MOST_CHARACTERS = 50_000_000  # of all cells: a text that is kept once may be named a million times
DAMAGED = "the workbook is damaged or hostile; save it again"
DATE_FORMATS = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}  # built-in, Asian ones included
QUOTED = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')
DAY_ZERO, DAY_ZERO_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)


def parse_xlsx(data: bytes) -> Parsed:
    """Unreadable for what is no workbook, and for hostile archives and XML."""
    archive = SafeZip(data)
    if WORKBOOK not in archive:
        raise Unreadable(f"not a workbook (it has no {WORKBOOK})", "save it as .xlsx again")
    reader = _Reader(archive)
    sections = []
    for name, member in reader.sheets():
        text = table_text(reader.rows(archive.read(member)))
        if text:
            sections.append(f"## {name}\n\n{text}")
    unknown = reader.formulas_without_result
    notices = (f"{unknown} formulas have no stored result (open and save it in a spreadsheet)",) if unknown else ()
    title, licence = office_properties(archive.read(PROPERTIES)) if PROPERTIES in archive else ("", None)
    return Parsed(title, tidy("\n\n".join(sections)), licence, notices)


@dataclass
class _Cell:
    column: int
    kind: str
    style: int
    value: list[str] = field(default_factory=list)
    has_formula: bool = False


class _Reader:
    def __init__(self, archive: SafeZip):
        self.archive = archive
        self.strings = _strings(archive.read(STRINGS)) if STRINGS in archive else []
        self.date_styles = _date_styles(archive.read(STYLES)) if STYLES in archive else set()
        self.day_zero = DAY_ZERO
        self.characters = 0
        self.formulas_without_result = 0

    def sheets(self) -> list[tuple[str, str]]:
        """Name and member of every sheet that holds cells (charts do not), in order."""
        relations = relations_of(self.archive, WORKBOOK)
        found = []
        for kind, value, attributes in xml_events(self.archive.read(WORKBOOK)):
            if kind == "start" and value == "workbookPr" and attributes.get("date1904") in ("1", "true"):
                self.day_zero = DAY_ZERO_1904
            elif kind == "start" and value == "sheet":
                type, member = relations.get(attributes.get(REFERENCE, ""), ("", ""))
                if type == "worksheet":
                    found.append((attributes.get("name", ""), member))
        return list(dict.fromkeys(found))

    def rows(self, xml: bytes) -> Iterator[list[str]]:
        """The cells of every row, gaps as ""."""
        row: dict[int, str] = {}
        cell: _Cell | None = None
        inside = ""
        for kind, value, attributes in xml_events(xml):
            if kind == "text":
                if cell is not None and inside in ("v", "t"):
                    cell.value.append(value)
                continue
            inside = value if kind == "start" else ""
            if kind == "start" and value == "c":
                cell = _Cell(_column(attributes.get("r", ""), row), attributes.get("t", "n"), _style(attributes))
            elif kind == "start" and value == "f" and cell is not None:
                cell.has_formula = True
            elif kind == "end" and value == "c" and cell is not None:
                row[cell.column] = self._shown(cell)
                cell = None
            elif kind == "end" and value == "row":
                yield [row.get(column, "") for column in range(max(row, default=-1) + 1)]
                row = {}

    def _shown(self, cell: _Cell) -> str:
        text = "".join(cell.value)
        self.formulas_without_result += cell.has_formula and not text
        if cell.kind == "s" and text:
            text = self._string(text)
        elif cell.kind == "b" and text:
            text = "TRUE" if text.strip() == "1" else "FALSE"
        elif cell.kind == "n" and text:
            text = self._number(text, cell.style)
        self.characters += len(text)
        if self.characters > MOST_CHARACTERS:
            raise Unreadable(f"its cells hold more than {MOST_CHARACTERS:,} characters", DAMAGED)
        return text

    def _string(self, number: str) -> str:
        try:
            return self.strings[int(number)]
        except (ValueError, IndexError):
            raise Unreadable(f"a cell names the text {number[:20]}, which is not there", DAMAGED) from None

    def _number(self, text: str, style: int) -> str:
        """A date where the cell's format says so, and without the last digits that binary fractions bring."""
        try:
            value = float(text)
            if style in self.date_styles:
                moment = self.day_zero + timedelta(days=value)
                return moment.date().isoformat() if value == int(value) else moment.isoformat(" ", "seconds")
            return f"{value:.15g}" if "e" not in f"{value:.15g}" else text
        except (ValueError, OverflowError):
            return text


def _column(reference: str, row: dict[int, str]) -> int:
    """From 0; a cell that does not say where it is follows the one before."""
    letters = reference.rstrip("0123456789")
    if not letters:
        return max(row, default=-1) + 1
    number = 0
    for letter in letters.upper()[:4]:
        number = 26 * number + ord(letter) - ord("A") + 1
    if not 0 < number <= MOST_COLUMNS:
        raise Unreadable(f"there is no cell {reference[:20]}", DAMAGED)
    return number - 1


def _style(attributes: dict[str, str]) -> int:
    number = attributes.get("s", "0")
    return int(number) if number.isdecimal() else 0


def _strings(xml: bytes) -> list[str]:
    """The texts that cells share; readings (furigana) are left out."""
    strings: list[str] = []
    inside, in_reading = "", False
    for kind, value, _ in xml_events(xml):
        if kind == "text":
            if inside == "t" and not in_reading and strings:
                strings[-1] += value
            continue
        inside = value if kind == "start" else ""
        if value == "rPh":
            in_reading = kind == "start"
        elif kind == "start" and value == "si":
            strings.append("")
    return strings


def _date_styles(xml: bytes) -> set[int]:
    """The numbers of cell formats that show a date."""
    dates, styles = set(DATE_FORMATS), set()
    in_cells, number = False, 0
    for kind, value, attributes in xml_events(xml):
        if value == "cellXfs":
            in_cells = kind == "start"
        elif kind == "start" and value == "numFmt" and attributes.get("numFmtId", "").isdecimal():
            code = QUOTED.sub("", attributes.get("formatCode", "")).lower()
            (dates.add if re.search("[ymdh]", code) else dates.discard)(int(attributes["numFmtId"]))
        elif kind == "start" and value == "xf" and in_cells:
            if attributes.get("numFmtId", "").isdecimal() and int(attributes["numFmtId"]) in dates:
                styles.add(number)
            number += 1
    return styles
