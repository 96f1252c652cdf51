"""R15: compressed files, tables and archives that explode or lie, and folders that loop."""

import gzip
import json
import os
import resource
import time
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sartor.data.collecting.entry import ReadingLimits
from sartor.data.collecting.parquet_rows import read_parquet
from tests.data.collecting.collections import collect, documents, rejects

BOMB_BYTES = 250_000_000


def gzip_bomb(inside: bytes, times: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join([*(packer.compress(inside) for _ in range(times)), packer.flush()])


def parquet_bomb(path):
    """One text of 1 MB that stands in a million rows: a terabyte when written out."""
    indices = pa.array([0] * 1_000_000, pa.int32())
    texts = pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"text": texts}), path, compression="zstd")


def warc(*records: bytes, kind: bytes = b"response", extra: bytes = b"") -> bytes:
    head = b"WARC/1.0\r\nWARC-Type: %s\r\nWARC-Target-URI: http://x.example/\r\nContent-Type: application/http\r\n%s"
    return b"".join(
        head % (kind, extra) + b"Content-Length: %d\r\n\r\n" % len(record) + record + b"\r\n\r\n" for record in records
    )


PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
PACKED_BOMB = gzip.compress(bytes(50_000_000))

FILES = {
    "zeros.txt.gz": (lambda: gzip_bomb(bytes(1_000_000), 250), "too_large"),
    "lines.jsonl.gz": (lambda: gzip_bomb(b'{"text": "' + b"a" * 900 + b'"}\n', 300_000), "unreadable"),
    "line.jsonl.gz": (lambda: gzip_bomb(b" " * 1_000_000, 250), "unreadable"),
    "list.json.gz": (lambda: gzip_bomb(b" " * 1_000_000, 250), "unreadable"),
    "table.csv.gz": (lambda: gzip_bomb(b'"' + b"a" * 1_000_000, 250), "unreadable"),
    "cut.txt.gz": (lambda: gzip.compress(os.urandom(5_000))[:-500], "unreadable"),
    "not.txt.gz": (lambda: b"plain", "unreadable"),
    "not.txt.zst": (lambda: b"plain", "unreadable"),
    "not.parquet": (lambda: b"PAR1" + bytes(100) + b"PAR1", "unreadable"),
    "deep.jsonl": (lambda: b"[" * 100_000, "bad_row"),
    "other.jsonl": (lambda: b'{"body": "x"}\n' * 50, "unreadable"),
    "half.jsonl": (lambda: b'{"text": "\\ud800"}\n', "bad_row"),
    "not.warc": (lambda: b"GET / HTTP/1.1\r\n\r\n", "unreadable"),
    "bomb.warc": (lambda: warc(PAGE + b"Content-Encoding: gzip\r\n\r\n" + PACKED_BOMB), "too_large"),
    "large.warc": (lambda: warc(PAGE + b"\r\n" + b"x" * 3_000_000), "too_large"),
    "packed.warc": (lambda: warc(PAGE + b"Content-Encoding: br\r\n\r\nxxx"), "unknown_encoding"),
    "error.warc": (lambda: warc(b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\n\r\nx"), "http_500"),
    "cut.warc": (lambda: warc(PAGE + b"\r\n" + b"x" * 3_000)[:-2_000], "damaged"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_by_name_and_the_others_are_read(tmp_path, name):
    make, reason = FILES[name]
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / name).write_bytes(make())
    (folder / "zz-good.txt").write_text("good")
    started, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = collect(tmp_path / "out", folder)
    assert time.monotonic() - started < 15
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 700_000  # kB
    assert "good" in [row["text"] for row in documents(tmp_path / "out")]
    found = rejects(tmp_path / "out")
    assert reason in found.values() and all(name in place for place in found)
    assert report.found == report.total + report.rejected


def test_a_table_of_repeated_texts_does_not_fill_the_memory(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    parquet_bomb(folder / "bomb.parquet")
    size = (folder / "bomb.parquet").stat().st_size
    assert size < 1_000_000
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = read_parquet(folder / "bomb.parquet", ReadingLimits(2_000_000))
    assert [len(next(rows)[1]["text"]) for _ in range(500)] == [1_000_000] * 500
    small = read_parquet(folder / "bomb.parquet", ReadingLimits(1_000))
    assert [len(next(small)[1]["text"]) for _ in range(500)] == [1_001] * 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 400_000  # kB


def test_a_text_that_is_too_long_takes_no_other_row_with_it(tmp_path):
    texts = [f"row {number}" for number in range(11)]
    texts[4] = "x" * 3_000_000
    pq.write_table(pa.table({"text": texts}), tmp_path / "rows.parquet")
    report = collect(tmp_path / "out", tmp_path / "rows.parquet")
    assert (report.documents, report.reasons) == (10, {"too_large": 1})
    assert [row["text"] for row in documents(tmp_path / "out")] == texts[:4] + texts[5:]


def test_links_are_not_followed_out_of_the_folder_or_in_circles(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.txt").write_text("good")
    (folder / "circle").symlink_to(folder)
    (folder / "itself.txt").symlink_to(folder / "itself.txt")
    (folder / "leak.txt").symlink_to(outside / "secret.txt")
    (folder / "leaks").symlink_to(outside)
    os.mkfifo(folder / "pipe.txt")
    (folder / os.fsdecode(b"bad\xff.txt")).write_text("x")
    report = collect(tmp_path / "out", folder)
    assert [row["text"] for row in documents(tmp_path / "out")] == ["good"]
    assert {place.rpartition("/")[2].strip("'"): reason for place, reason in rejects(tmp_path / "out").items()} == {
        "circle": "not_followed", "itself.txt": "not_followed", "leak.txt": "not_followed", "leaks": "not_followed",
        "pipe.txt": "not_followed", "bad\\udcff.txt": "file_name",
    }  # fmt: skip
    assert report.found == 7


def test_rows_that_lie_about_themselves_do_no_harm(tmp_path):
    rows = [
        {"text": "a", "url": "javascript:alert(1)", "title": 7, "time": "yesterday", "score": float("nan")},
        {"text": "b", "url": "https://x.example/", "extra": {"deep": [1, "x" * 20_000]}, "time": "2024-05-01T10:00:00"},
        {"text": ["a list"]},
        {"text": "c" * 3_000_000},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    collect(tmp_path / "out", tmp_path / "rows.jsonl")
    first, second = documents(tmp_path / "out")
    assert first["source"] == str(tmp_path / "rows.jsonl") and (first["title"], first["time"]) == (None, None)
    assert json.loads(first["metadata"])["score"] is None
    assert (second["source"], second["time"]) == ("https://x.example/", "2024-05-01T10:00:00")
    assert json.loads(second["metadata"]) == {"columns_left_out": ["url", "extra", "time"]}
    assert list(rejects(tmp_path / "out").values()) == ["no_text", "too_large"]


def test_packed_files_are_read(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    rows = "".join(f'{{"text": "row {number}"}}\n' for number in range(5_000)).encode()
    for name, data in (("a.txt.zst", b"text"), ("b.jsonl.zst", rows)):
        (folder / name).write_bytes(pa.compress(data, codec="zstd", asbytes=True))
    (folder / "c.jsonl.zst").write_bytes(2 * pa.compress(rows, codec="zstd", asbytes=True))
    (folder / "d.jsonl.gz").write_bytes(2 * gzip.compress(rows))
    pq.write_table(pa.table({"text": ["p"]}), folder / "e.parquet")
    (folder / "e.parquet.gz").write_bytes(gzip.compress((folder / "e.parquet").read_bytes()))
    report = collect(tmp_path / "out", folder)
    assert (report.documents, report.rejected) == (1 + 5_000 + 10_000 + 10_000 + 2, 0)
    assert documents(tmp_path / "out")[0]["text"] == "text"
