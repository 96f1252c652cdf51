"""Presentations (Office Open XML, ECMA-376 part 1, PresentationML): every slide as a section, its notes below it."""

from dataclasses import dataclass, field

from sartor.data.parsers.docx import office_properties
from sartor.data.parsers.parsed import Parsed, Unreadable, tidy
from sartor.data.parsers.relations import REFERENCE, relations_of
from sartor.data.parsers.safe_xml import xml_events
from sartor.data.parsers.safe_zip import SafeZip

PRESENTATION, PROPERTIES = "ppt/presentation.xml", "docProps/core.xml"
TITLES = ("title", "ctrTitle")
SHAPES = ("sp", "graphicFrame")  # a text box; a table
FURNITURE = ("sldNum", "dt", "ftr", "hdr", "sldImg")
"""Placeholders that repeat on every slide: number, date, footer, header, the picture of a slide in its notes."""


def parse_pptx(data: bytes) -> Parsed:
    """Unreadable for what is no presentation, and for hostile archives and XML."""
    archive = SafeZip(data)
    if PRESENTATION not in archive:
        raise Unreadable(f"not a presentation (it has no {PRESENTATION})", "save it as .pptx again")
    slides = [_slide(archive, name, number) for number, name in enumerate(_slide_names(archive), start=1)]
    empty = [str(number) for number, text in enumerate(slides, start=1) if not text]
    notices = (f"no text on slide {', '.join(empty)} of {len(slides)} (a picture?)",) if empty else ()
    title, licence = office_properties(archive.read(PROPERTIES)) if PROPERTIES in archive else ("", None)
    return Parsed(title, tidy("\n\n".join(text for text in slides if text)), licence, notices)


def _slide_names(archive: SafeZip) -> list[str]:
    """The slides in their order, each once."""
    relations = relations_of(archive, PRESENTATION)
    ids = [
        attributes.get(REFERENCE, "")
        for kind, value, attributes in xml_events(archive.read(PRESENTATION))
        if kind == "start" and value == "sldId"
    ]
    return list(dict.fromkeys(relations[id][1] for id in ids if id in relations))


def _slide(archive: SafeZip, name: str, number: int) -> str:
    """`## Title`, the slide's text, then its notes; "" where there is no text."""
    title, blocks = _read(archive.read(name))
    for kind, target in relations_of(archive, name).values():
        if kind == "notesSlide":
            blocks += [f"Notes: {block}" for block in _read(archive.read(target))[1]]
    if not title and not blocks:
        return ""
    return "\n\n".join([f"## {title or f'Slide {number}'}", *blocks])


def _read(xml: bytes) -> tuple[str, list[str]]:
    """The title of a slide and its other blocks of text."""
    reader = _Reader()
    for kind, value, attributes in xml_events(xml):
        if kind == "start":
            reader.start(value, attributes)
        elif kind == "end":
            reader.end(value)
        elif reader.in_text:
            reader.words.append(value)
    return " ".join(reader.title), reader.blocks


@dataclass
class _Reader:
    """Follows the events of a slide; a table's row is one line of cells between bars."""

    title: list[str] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)  # of the open paragraph
    cells: list[str] | None = None  # of the open row of a table
    placeholder: str = ""
    in_text: bool = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name in SHAPES:
            self.placeholder = ""
        elif name == "ph":
            self.placeholder = attributes.get("type", "body")
        elif name == "tr":
            self.cells = []
        elif name == "tc" and self.cells is not None:
            self.cells.append("")
        elif name == "p":
            self.words = []
        elif name == "br":
            self.words.append("\n")
        self.in_text = name == "t"

    def end(self, name: str) -> None:
        self.in_text = False
        if name == "p":
            self._put("".join(self.words).strip())
            self.words = []
        elif name == "tr" and self.cells is not None:
            row, self.cells = self.cells, None
            if any(row):
                self.blocks.append(f"| {' | '.join(row)} |")

    def _put(self, text: str) -> None:
        if not text or self.placeholder in FURNITURE:
            return
        if self.cells:
            self.cells[-1] = f"{self.cells[-1]} {' '.join(text.split())}".strip()
        elif self.placeholder in TITLES:
            self.title.append(" ".join(text.split()))
        else:
            self.blocks.append(text)
