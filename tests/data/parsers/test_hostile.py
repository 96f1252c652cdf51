"""R15: files that explode, loop, lead out of their archive or hang their parser are refused within their limits."""

import resource
import time

import pytest

from sartor.data.parsers.formats import DOCX, EPUB, PDF, PPTX
from sartor.data.parsers.isolated import IsolatedParser
from sartor.data.parsers.parsed import Unreadable
from tests.data.parsers.files import docx, paragraph, pptx
from tests.data.parsers.hostile_files import BOUNDED, REFUSED, repeated_chapter
from tests.data.test_extract import pdf


@pytest.fixture(scope="module")
def parser():
    with IsolatedParser(seconds=20) as started:
        yield started


def parse_bounded(parser: IsolatedParser, media_type: str, data: bytes) -> str:
    """The text, after at most ten seconds and 50 MB of this process."""
    started, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        return parser.parse(media_type, data, 5_000_000).text
    finally:
        assert time.monotonic() - started < 10
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 50_000  # kB


def test_there_are_forty_files():
    assert len(REFUSED) + len(BOUNDED) == 40


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_files_are_refused_by_name_in_bounded_time_and_memory(parser, name):
    media_type, make, message = REFUSED[name]
    with pytest.raises(Unreadable, match=message):
        parse_bounded(parser, media_type, make())
    assert parser.parse(DOCX, docx(paragraph("still here")), 1_000).text == "still here"


@pytest.mark.parametrize("name", BOUNDED)
def test_strange_files_cost_bounded_time_and_memory(parser, name):
    media_type, make = BOUNDED[name]
    try:
        assert len(parse_bounded(parser, media_type, make())) < 5_000_000
    except Unreadable as error:
        assert error.what
    assert parser.parse(DOCX, docx(paragraph("still here")), 1_000).text == "still here"


def test_what_is_named_often_is_read_once(parser):
    assert parser.parse(EPUB, repeated_chapter(), 1_000).text == "once"
    assert parser.parse(PPTX, pptx("once", 9), 1_000).text == "## Slide 1\n\nonce"


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
