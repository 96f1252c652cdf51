"""Collecting real archives: counts, encodings and licences that are known of them."""

import gzip
import json
from pathlib import Path

import pytest

from tests.data.collecting.collections import collect, documents


@pytest.fixture(scope="module")
def archives(real_data: Path) -> Path:
    folder = real_data / "raw" / "warc_samples"
    if not folder.is_dir():
        pytest.skip(f"no WARC samples: {folder} does not exist")
    return folder


def test_web_archives_give_every_answer_once(archives: Path, tmp_path: Path) -> None:
    report = collect(tmp_path / "out", archives / "dolma__sample-0001.warc.gz")
    assert (report.found, report.documents) == (15, 15)
    assert report.left_out == {
        "request records": 15,
        "warcinfo records": 1,
        "metadata records": 1,
        "resource records": 2,
    }
    rows = documents(tmp_path / "out")
    assert {row["media_type"] for row in rows} == {"text/html"} and all(row["title"] for row in rows)
    assert rows[0]["source"] == "https://creativecommons.org/" and rows[0]["time"] == "2024-04-25T16:27:48Z"
    assert not any("\ufffd" in row["text"] for row in rows)


def test_a_page_of_common_crawl_as_html_and_as_text(archives: Path, tmp_path: Path) -> None:
    names = [f"whirlwind-python__whirlwind.{kind}.gz" for kind in ("warc", "warc.wet")]
    report = collect(tmp_path / "out", *[archives / name for name in names])
    assert report.documents == 2
    page, text = documents(tmp_path / "out")
    assert (page["media_type"], text["media_type"]) == ("text/html", "text/plain")
    assert page["source"] == text["source"] == "https://an.wikipedia.org/wiki/Escopete"
    assert page["licence"] == "CC-BY-SA-4.0"
    assert page["title"] == "Escopete - Biquipedia, a enciclopedia libre"
    assert text["text"].startswith("Escopete - Biquipedia, a enciclopedia libre\nIr al contenido\n")
    assert json.loads(text["metadata"])["language"] == "spa"


def test_books_in_packed_rows_come_out_as_they_are(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "raw" / "standardebooks" / "children.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"no books: {path} does not exist")
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        books = [json.loads(line) for line in stream]
    report = collect(tmp_path / "out", path, licence="CC0-1.0")
    rows = documents(tmp_path / "out")
    assert report.documents == len(books)
    assert [row["text"] for row in rows] == [book["text"].strip() for book in books]
    assert {row["licence"] for row in rows} == {"CC0-1.0"}
