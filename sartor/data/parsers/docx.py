"""Word documents (Office Open XML, ECMA-376 part 1): paragraphs, headings and tables as Markdown.

Headers, footers, comments, text boxes and deleted text are left out; notes stand at the end.
"""

from dataclasses import dataclass, field

from sartor.data.parsers.parsed import Parsed, Unreadable, tidy
from sartor.data.parsers.safe_xml import xml_events
from sartor.data.parsers.safe_zip import SafeZip

BODY, PROPERTIES, STYLES = "word/document.xml", "docProps/core.xml", "word/styles.xml"
NOTES = ("word/footnotes.xml", "word/endnotes.xml")
LEFT_OUT = {"del", "moveFrom", "txbxContent", "instrText", "delText", "Fallback"}
DEEPEST_HEADING = 6


def parse_docx(data: bytes) -> Parsed:
    """Unreadable for what is not a Word document, and for hostile archives and XML."""
    archive = SafeZip(data)
    if BODY not in archive:
        raise Unreadable("not a Word document (it has no word/document.xml)", "save it as .docx again")
    headings = _heading_styles(archive.read(STYLES)) if STYLES in archive else {}
    parts = [_text(archive.read(BODY), headings)]
    parts += [_text(archive.read(name), headings) for name in NOTES if name in archive]
    title, licence = office_properties(archive.read(PROPERTIES)) if PROPERTIES in archive else ("", None)
    return Parsed(title, tidy("\n\n".join(part for part in parts if part)), licence)


@dataclass
class _Paragraph:
    text: list[str] = field(default_factory=list)
    heading: int = 0
    is_item: bool = False

    def written(self) -> str:
        text = "".join(self.text).strip()
        if not text:
            return ""
        if self.heading:
            return f"{'#' * self.heading} {' '.join(text.split())}"
        return f"- {text}" if self.is_item else text


class _Reader:
    """Follows the events of a part; a table's row is one line of cells between bars."""

    def __init__(self, headings: dict[str, int]):
        self.headings = headings
        self.blocks: list[str] = []
        self.paragraphs: list[_Paragraph] = []  # open ones: a table's cells hold paragraphs inside a row
        self.cells: list[list[str]] = []  # of the open rows, the innermost last
        self.skipped = 0
        self.in_text = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name in LEFT_OUT or self.skipped:
            self.skipped += 1
        elif name == "p":
            self.paragraphs.append(_Paragraph())
        elif name == "tr":
            self.cells.append([])
        elif name == "tc" and self.cells:
            self.cells[-1].append("")
        elif self.paragraphs:
            self._inside(self.paragraphs[-1], name, attributes)

    def _inside(self, paragraph: _Paragraph, name: str, attributes: dict[str, str]) -> None:
        if name == "t":
            self.in_text = True
        elif name == "tab":
            paragraph.text.append("\t")
        elif name in ("br", "cr"):
            paragraph.text.append("\n")
        elif name == "pStyle":
            paragraph.heading = self.headings.get(attributes.get("val", ""), 0)
        elif name == "numPr":
            paragraph.is_item = True

    def end(self, name: str) -> None:
        if self.skipped:
            self.skipped -= 1
        elif name == "t":
            self.in_text = False
        elif name == "p" and self.paragraphs:
            self._put(self.paragraphs.pop().written())
        elif name == "tr" and self.cells:
            row = " | ".join(self.cells.pop())
            if row.replace("|", "").strip():
                self._put(f"| {row} |")

    def _put(self, block: str) -> None:
        if self.cells and self.cells[-1]:
            self.cells[-1][-1] = f"{self.cells[-1][-1]} {' '.join(block.split())}".strip()
        elif block:
            self.blocks.append(block)

    def text(self, characters: str) -> None:
        if self.in_text and self.paragraphs and not self.skipped:
            self.paragraphs[-1].text.append(characters)


def _text(xml: bytes, headings: dict[str, int]) -> str:
    reader = _Reader(headings)
    for kind, value, attributes in xml_events(xml):
        if kind == "start":
            reader.start(value, attributes)
        elif kind == "end":
            reader.end(value)
        else:
            reader.text(value)
    return "\n\n".join(reader.blocks)


def _heading_styles(xml: bytes) -> dict[str, int]:
    """The level of every style that is a heading, whatever the language in which Word named it."""
    levels: dict[str, int] = {}
    style = ""
    for kind, value, attributes in xml_events(xml):
        if kind != "start":
            continue
        if value == "style":
            style = attributes.get("styleId", "")
        elif value == "outlineLvl" and attributes.get("val", "").isdecimal():
            levels[style] = min(int(attributes["val"]) + 1, DEEPEST_HEADING)
        elif value == "name" and attributes.get("val", "").lower().startswith("heading "):
            level = attributes["val"].split()[-1]
            levels.setdefault(style, min(int(level), DEEPEST_HEADING) if level.isdecimal() else 1)
        elif value == "name" and attributes.get("val", "").lower() == "title":
            levels[style] = 1
    return levels


def office_properties(xml: bytes) -> tuple[str, str | None]:
    """Title and rights from the document's properties (Dublin Core)."""
    found = {"title": "", "rights": ""}
    inside = ""
    for kind, value, _ in xml_events(xml):
        if kind == "text" and inside in found:
            found[inside] += value
        else:
            inside = value if kind == "start" else ""
    return found["title"].strip(), found["rights"].strip() or None
