"""R15: files that explode, loop, lead out of their archive or hang their parser are refused within their limits."""

import io
import os
import resource
import time
import zipfile

import pytest

from sartor.data.parsers.formats import DOCX, EPUB, PDF
from sartor.data.parsers.isolated import IsolatedParser
from sartor.data.parsers.parsed import Unreadable
from tests.data.parsers.files import CONTAINER, docx, epub, paragraph, word_part, zipped
from tests.data.test_extract import pdf

LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(f'<!ENTITY b{n} "{"&a;" * 100}">' for n in range(9)) + "]>"
EXTERNAL = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def bomb_docx() -> bytes:
    """300 MB of zeros in 300 kB."""
    return zipped({"word/document.xml": bytes(300_000_000)})


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


def repeated_chapter() -> bytes:
    """One chapter that the reading order names 100,000 times."""
    package = '<package><manifest><item id="a" href="a.xhtml" media-type="text/html"/></manifest><spine>'
    return epub({"a.xhtml": "<p>once"}, package + '<itemref idref="a"/>' * 100_000 + "</spine></package>")


HOSTILE = {
    "zip bomb": (DOCX, bomb_docx, "unpacks to more than"),
    "many members that add up": (EPUB, flat_bomb, "unpacks to more than"),
    "path that climbs": (DOCX, lambda: with_name("../../etc/cron.d/x"), "leads out"),
    "path from the root": (DOCX, lambda: with_name("/etc/passwd"), "leads out"),
    "path of another system": (DOCX, lambda: with_name("..\\..\\x"), "leads out"),
    "path with a drive": (DOCX, lambda: with_name("C:/x"), "leads out"),
    "one name twice": (DOCX, twice_the_same, "two members"),
    "too many members": (DOCX, lambda: zipped({f"a{n}": "" for n in range(20_001)}), "members"),
    "not an archive": (DOCX, lambda: b"PK\x03\x04" + bytes(1_000), "not a readable archive"),
    "damaged archive": (
        DOCX,
        lambda: damaged(docx(paragraph("x" * 5_000))),
        "cannot be read|not well-formed|not a readable",
    ),
    "entities that explode": (DOCX, lambda: docx(paragraph("&b8;"), LAUGHS), "document type"),
    "entities that read files": (DOCX, lambda: docx(paragraph("&a;"), EXTERNAL), "document type"),
    "entities in a book": (EPUB, lambda: epub({"a.xhtml": "x"}, LAUGHS + "<package/>"), "entities"),
    "endless nesting": (DOCX, lambda: docx("<w:a>" * 100_000), "nested more than"),
    "cut off": (DOCX, lambda: docx("<w:p>"), "not well-formed"),
    "container that points nowhere": (EPUB, lambda: zipped({"META-INF/container.xml": "<c/>"}), "does not say"),
    "package outside": (
        EPUB,
        lambda: zipped({"META-INF/container.xml": CONTAINER.replace("OEBPS", "../..")}),
        "missing",
    ),
    "not a PDF": (PDF, lambda: b"%PDF-1.4 nothing", "not a readable PDF"),
    "random bytes": (PDF, lambda: os.urandom(10_000), "not a readable PDF"),
}


@pytest.fixture(scope="module")
def parser():
    with IsolatedParser(seconds=20) as started:
        yield started


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_by_name_in_bounded_time_and_memory(parser, name):
    media_type, make, message = HOSTILE[name]
    data = make()
    started, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Unreadable, match=message):
        parser.parse(media_type, data, 5_000_000)
    assert time.monotonic() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 50_000  # kB, of this process
    assert parser.parse(DOCX, docx(paragraph("still here")), 1_000).text == "still here"


def test_a_chapter_that_is_named_often_is_read_once(parser):
    assert parser.parse(EPUB, repeated_chapter(), 1_000).text == "once"


def test_a_text_that_is_too_long_is_refused_before_it_comes_here(parser):
    with pytest.raises(Unreadable, match="longer than 1,000 characters"):
        parser.parse(DOCX, docx(paragraph("x" * 2_000)), 1_000)


def test_a_file_that_hangs_its_parser_ends_with_its_time():
    """A PDF whose thousands of pages each draw the same long text takes PDFium minutes."""
    endless = pdf([["x" * 20_000] * 40] * 400)
    with IsolatedParser(seconds=1) as parser:
        started = time.monotonic()
        with pytest.raises(Unreadable, match="takes longer than 1 s"):
            parser.parse(PDF, endless, 10_000_000_000)
        assert time.monotonic() - started < 6
        assert parser.parse(PDF, pdf([["short"]]), 1_000).text == "short"


def test_a_file_that_takes_all_memory_ends_alone():
    with IsolatedParser(seconds=20, memory_bytes=200_000_000) as parser:
        with pytest.raises(Unreadable, match="more memory than is allowed"):
            parser.parse("text/plain", b"x" * 100_000_000, 1_000_000_000)
        assert parser.parse(DOCX, docx(paragraph("next")), 1_000).text == "next"


def test_the_child_ends_with_its_parent():
    parser = IsolatedParser()
    parser.parse(DOCX, docx(paragraph("x")), 1_000)
    process = parser._process
    assert process is not None and process.poll() is None
    parser.close()
    assert process.poll() is not None
