"""Preparing real documents: books, software documents and web pages, some of them damaged on purpose."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from sartor.data.document_folder import DocumentFolder, DocumentWriter
from sartor.data.documents import documents_table
from sartor.recipes.prepare import PrepareResult, run
from sartor.recipes.prepare_settings import PrepareConfig

PASSAGE_CHARACTERS = 20_000


def books(raw: Path) -> Iterator[dict[str, Any]]:
    """The children's books in passages; the first three of each once more."""
    with gzip.open(raw / "standardebooks" / "children.jsonl.gz", "rt") as lines:
        for number, line in enumerate(lines):
            text = json.loads(line)["text"]
            for start in range(0, len(text) - PASSAGE_CHARACTERS, PASSAGE_CHARACTERS):
                passage = text[start : start + PASSAGE_CHARACTERS]
                row = {"text": passage, "source": f"books/{number}.txt", "licence": "CC0-1.0"}
                yield {**row, "id": f"book-{number}-{start}"}
                if start < 3 * PASSAGE_CHARACTERS:
                    yield {**row, "id": f"copy-{number}-{start}"}


def web_pages(raw: Path) -> Iterator[dict[str, Any]]:
    with (raw / "warc_samples" / "dolma__sample-0001.warc.gz").open("rb") as stream:
        for number, record in enumerate(ArchiveIterator(stream, record_types=WarcRecordType.response)):
            html = record.reader.read().decode("utf-8", "replace")
            yield {
                "id": f"web-{number}",
                "text": html,
                "media_type": "text/html",
                "source": record.headers["WARC-Target-URI"].strip("<>"),
            }


@pytest.fixture(scope="module")
def documents(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> DocumentFolder:
    path = tmp_path_factory.mktemp("real") / "documents"
    with DocumentWriter(path, max_file_bytes=1_000_000) as writer:
        writer.add(documents_table([*books(real_data / "raw"), *web_pages(real_data / "raw")]))
    return DocumentFolder.open(path)


@pytest.fixture(scope="module")
def result(documents: DocumentFolder, tmp_path_factory: pytest.TempPathFactory) -> PrepareResult:
    out = tmp_path_factory.mktemp("prepared") / "out"
    return run(
        PrepareConfig(documents=str(documents.path), out=str(out), languages=["en"], preset="gopher", processes=2)
    )


def test_books_stay_and_their_copies_go(documents: DocumentFolder, result: PrepareResult) -> None:
    counts = result.record["counts"]
    assert counts["given"] == documents.num_documents == counts["kept"] + counts["dropped"]
    ids = [name for table in DocumentFolder.open(result.out).tables() for name in table["id"].to_pylist()]
    given = [name for table in documents.tables() for name in table["id"].to_pylist()]
    passages = {name.partition("-")[2] for name in given if not name.startswith("web")}
    kept = [name.partition("-")[2] for name in ids if not name.startswith("web")]
    assert len(kept) == len(set(kept))
    assert len(kept) > 0.9 * len(passages)


def test_pages_lose_their_markup(result: PrepareResult) -> None:
    table = pa.concat_tables(DocumentFolder.open(result.out).tables())
    pages = [text for name, text in zip(*(table[c].to_pylist() for c in ("id", "text")), strict=True) if "web" in name]
    assert pages
    assert all("<div" not in text and "<script" not in text for text in pages)
    assert set(table["media_type"].to_pylist()) == {"text/plain"}


def test_every_drop_has_a_reason_that_the_report_shows(result: PrepareResult) -> None:
    page = (result.out / "report.html").read_text()
    reasons = {reason for step in result.record["steps"] for reason in step["dropped"]}
    assert {"exact_duplicate"} <= reasons
    assert all(reason in page for reason in reasons)
    shown = {(group["step"], group["reason"]) for group in result.record["examples"]}
    assert len(shown) == sum(len(step["dropped"]) for step in result.record["steps"])
