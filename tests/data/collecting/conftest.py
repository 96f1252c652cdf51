"""A web server for each test that wants one, and a maker of documents."""

from collections.abc import Iterator

import pytest

from sartor.data.collecting.documents_of import DocumentMaker
from sartor.data.collecting.entry import ReadingLimits
from sartor.data.parsers.isolated import IsolatedParser
from tests.data.collecting.web_server import WebServer, web_server


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


@pytest.fixture(scope="session")
def isolated() -> Iterator[IsolatedParser]:
    with IsolatedParser() as parser:
        yield parser


@pytest.fixture
def maker(isolated: IsolatedParser) -> DocumentMaker:
    return DocumentMaker(ReadingLimits(2_000_000), isolated)
