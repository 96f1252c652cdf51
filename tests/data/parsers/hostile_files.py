"""R15: forty files that explode, loop, lead out of their archive or hang their parser."""

import io
import os
import struct
import zipfile
import zlib

import pytest

from sartor.data.parsers.formats import DOCX, EPUB, PDF, PPTX, XLSX
from tests.data.parsers.files import CONTAINER, docx, epub, paragraph, pptx, word_part, xlsx, zipped

LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(f'<!ENTITY b{n} "{"&a;" * 100}">' for n in range(9)) + "]>"
EXTERNAL = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def bomb(member: str) -> bytes:
    """300 MB of zeros in 300 kB."""
    return zipped({member: bytes(300_000_000)})


def flat_bomb() -> bytes:
    """Overlapping members cannot be written by hand here; many that are each near the limit come to the same."""
    chapters = {f"c{number}.xhtml": "<p>" + " " * 30_000_000 for number in range(9)}
    return epub(chapters)


def with_name(name: str) -> bytes:
    return zipped({"word/document.xml": word_part("document", "<w:body/>"), name: "x"})


def twice_the_same() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("word/document.xml", "<a/>")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("word/document.xml", "<b/>")
    return buffer.getvalue()


def damaged(data: bytes) -> bytes:
    middle = data.index(b"word/document.xml") + 60
    return data[:middle] + bytes(200) + data[middle + 200 :]


def locked() -> bytes:
    """A member whose flags say that it is encrypted, in both of its headers."""
    data = bytearray(docx(paragraph("x")))
    name, start = b"word/document.xml", 0
    while (start := data.find(name, start)) >= 0:
        for signature, length, flags in ((b"PK\x03\x04", 30, 6), (b"PK\x01\x02", 46, 8)):
            header = start - length
            if header >= 0 and data[header : header + 4] == signature:
                data[header + flags] |= 1
        start += 1
    return bytes(data)


def lying_size() -> bytes:
    """The directory says 10 bytes for a member of 300 MB."""
    data = bytearray(bomb("word/document.xml"))
    header = data.rfind(b"PK\x01\x02")
    data[header + 24 : header + 28] = struct.pack("<I", 10)
    return bytes(data)


def cells(number: int) -> str:
    return "<row>" + '<c t="s"><v>0</v></c>' * number + "</row>"


def pdf_of(objects: dict[int, bytes], root: int = 1) -> bytes:
    """A PDF without a table of its objects, which readers then search for."""
    body = b"".join(b"%d 0 obj\n%s\nendobj\n" % (number, text) for number, text in objects.items())
    return b"%PDF-1.4\n" + body + b"trailer << /Size 99 /Root %d 0 R >>\n%%%%EOF\n" % root


def pages_in_a_circle() -> bytes:
    tree = b"<< /Type /Pages /Count 1000000000 /Kids [2 0 R 3 0 R] /Parent 3 0 R >>"
    return pdf_of({1: b"<< /Type /Catalog /Pages 2 0 R >>", 2: tree, 3: tree.replace(b"/Parent 3", b"/Parent 2")})


def pdf_bomb() -> bytes:
    """A page whose content unpacks to 300 MB of zeros, packed twice."""
    once = zlib.compressobj(9)
    packed = b"".join(once.compress(bytes(10_000_000)) for _ in range(30)) + once.flush()
    twice = zlib.compress(packed, 9)
    stream = b"<< /Length %d /Filter [/FlateDecode /FlateDecode] >>\nstream\n%s\nendstream" % (len(twice), twice)
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>"
    tree = b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>"
    return pdf_of({1: b"<< /Type /Catalog /Pages 2 0 R >>", 2: tree, 3: page, 4: stream})


REFUSED = {
    "zip bomb": (DOCX, lambda: bomb("word/document.xml"), "unpacks to more than"),
    "zip bomb as a presentation": (PPTX, lambda: bomb("ppt/presentation.xml"), "unpacks to more than"),
    "zip bomb as a workbook": (XLSX, lambda: bomb("xl/workbook.xml"), "unpacks to more than"),
    "zip bomb that lies about its size": (DOCX, lying_size, "unpacks to more|cannot be read|not well-formed"),
    "many members that add up": (EPUB, flat_bomb, "unpacks to more than"),
    "path that climbs": (DOCX, lambda: with_name("../../etc/cron.d/x"), "leads out"),
    "path from the root": (DOCX, lambda: with_name("/etc/passwd"), "leads out"),
    "path of another system": (DOCX, lambda: with_name("..\\..\\x"), "leads out"),
    "path with a drive": (DOCX, lambda: with_name("C:/x"), "leads out"),
    "path that climbs in a workbook": (XLSX, lambda: xlsx("", **{"..__..__x": "x"}), "leads out"),
    "one name twice": (DOCX, twice_the_same, "two members"),
    "too many members": (DOCX, lambda: zipped({f"a{n}": "" for n in range(20_001)}), "members"),
    "not an archive": (DOCX, lambda: b"PK\x03\x04" + bytes(1_000), "not a readable archive"),
    "archive cut off": (XLSX, lambda: xlsx("<row/>" * 1_000)[:-30], "not a readable archive"),
    "locked": (DOCX, locked, "encrypted"),
    "damaged archive": (
        DOCX,
        lambda: damaged(docx(paragraph("x" * 5_000))),
        "cannot be read|not well-formed|not a readable",
    ),
    "entities that explode": (DOCX, lambda: docx(paragraph("&b8;"), LAUGHS), "document type"),
    "entities that read files": (DOCX, lambda: docx(paragraph("&a;"), EXTERNAL), "document type"),
    "entities in a book": (EPUB, lambda: epub({"a.xhtml": "x"}, LAUGHS + "<package/>"), "entities"),
    "entities in a slide": (PPTX, lambda: pptx("&b8;", before=LAUGHS), "document type"),
    "entities in a sheet": (XLSX, lambda: xlsx("&a;", before=EXTERNAL), "document type"),
    "endless nesting": (DOCX, lambda: docx("<w:a>" * 100_000), "nested more than"),
    "endless nesting in a slide": (PPTX, lambda: pptx("</t>" + "<grpSp>" * 100_000), "nested more than"),
    "endless nesting in a sheet": (XLSX, lambda: xlsx("<c>" * 100_000), "nested more than"),
    "cut off": (DOCX, lambda: docx("<w:p>"), "not well-formed"),
    "unknown encoding": (DOCX, lambda: docx("", '<?xml version="1.0" encoding="x-9"?>'), "not well-formed"),
    "container that points nowhere": (EPUB, lambda: zipped({"META-INF/container.xml": "<c/>"}), "does not say"),
    "package outside": (
        EPUB,
        lambda: zipped({"META-INF/container.xml": CONTAINER.replace("OEBPS", "../..")}),
        "missing",
    ),
    "slide outside": (
        PPTX,
        lambda: pptx("x").replace(b"ppt/slide1.xml", b"ppt/slideX.xml"),
        "missing",
    ),
    "one text a million times": (
        XLSX,
        lambda: xlsx(cells(16_000) * 60, f"<sst><si><t>{'x' * 32_000}</t></si></sst>"),
        "more than 50,000,000 characters",
    ),
    "a text that is not there": (XLSX, lambda: xlsx('<row><c t="s"><v>9</v></c></row>'), "which is not there"),
    "a column that is not there": (XLSX, lambda: xlsx('<row><c r="ZZZZ1"><v>9</v></c></row>'), "no cell ZZZZ1"),
    "not a PDF": (PDF, lambda: b"%PDF-1.4 nothing", "not a readable PDF"),
    "random bytes": (PDF, lambda: os.urandom(10_000), "not a readable PDF"),
}
"""What must be refused: its type, the file, and what is said."""

BOUNDED = {
    "one chapter 100,000 times": (EPUB, lambda: repeated_chapter()),
    "one slide 100,000 times": (PPTX, lambda: pptx("once", 100_000)),
    "empty rows to the end of a sheet": (XLSX, lambda: xlsx('<row r="1048576"/>' * 200_000)),
    "wide gaps in many rows": (XLSX, lambda: xlsx('<row><c r="XFD1"><v>1</v></c></row>' * 500)),
    "pages in a circle": (PDF, pages_in_a_circle),
    "packed twice in a PDF": (PDF, pdf_bomb),
}
"""What may be read or refused, in bounded time and memory."""


def repeated_chapter() -> bytes:
    """One chapter that the reading order names 100,000 times."""
    package = '<package><manifest><item id="a" href="a.xhtml" media-type="text/html"/></manifest><spine>'
    return epub({"a.xhtml": "<p>once"}, package + '<itemref idref="a"/>' * 100_000 + "</spine></package>")
