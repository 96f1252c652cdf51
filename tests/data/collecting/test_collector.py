"""A collection as a whole: every file accounted for, nothing doubled or lost, whatever happens in between."""

import csv
import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sartor.base.errors import DataError, Interrupted, SartorError, UsageError
from sartor.base.lock import Lock
from sartor.base.signals import StopRequest
from sartor.data.collecting import files, publishing
from sartor.data.documents import text_hash
from tests.data.collecting.collections import collect, documents, rejects


@pytest.fixture
def folder(tmp_path):
    """A bit of everything that is read."""
    root = tmp_path / "in"
    (root / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("plain\r\ntext\n")
    (root / "b.md").write_text("---\ntitle: Bee\nlicense: MIT\n---\n# B\n\nbody")
    (root / "c.html").write_bytes(
        "<meta charset=windows-1252><title>Café</title>"
        '<link rel=license href="https://creativecommons.org/licenses/by-sa/4.0/deed.de"><p>é'.encode("cp1252")
    )
    (root / "deep" / "d.py").write_text("# SPDX-License-Identifier: Apache-2.0\nprint(1)\n")
    rows = [{"text": "one", "url": "http://x.example/1", "n": 1}, {"no": 1}, {"text": "two", "license": "cc-by-4.0"}]
    (root / "e.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\nnot json\n")
    (root / "f.json").write_text(json.dumps([{"text": "three", "title": "T"}]))
    with (root / "g.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "text"], ["7", "four, five"], ["8", ""]])
    pq.write_table(pa.table({"text": ["six", None, "seven"], "score": [1.0, 2.0, float("nan")]}), root / "h.parquet")
    (root / "i.txt.gz").write_bytes(gzip.compress(b"packed"))
    (root / "j.png").write_bytes(b"\x89PNG")
    (root / ".hidden").write_text("x")
    (root / "k.txt").write_bytes(b"zero\0bytes")
    (root / "empty.txt").write_text(" \n")
    return root


def test_every_kind_of_file_is_read_or_accounted_for(folder, tmp_path):
    out = tmp_path / "out"
    report = collect(out, folder, licence="CC0-1.0")
    by_id = {row["id"].removeprefix(f"{folder}/"): row for row in documents(out)}
    assert {name: row["text"] for name, row in by_id.items() if name != "c.html"} == {
        "a.txt": "plain\ntext", "b.md": "# B\n\nbody", "deep/d.py": "# SPDX-License-Identifier: Apache-2.0\nprint(1)",
        "e.jsonl#1": "one", "e.jsonl#3": "two", "f.json#1": "three", "g.csv#2": "four, five",
        "h.parquet#1": "six", "h.parquet#3": "seven", "i.txt.gz": "packed",
    }  # fmt: skip
    assert by_id["c.html"]["text"].endswith("<p>é") and by_id["c.html"]["title"] == "Café"
    kinds = {name: row["media_type"] for name, row in by_id.items()}
    assert (kinds["a.txt"], kinds["b.md"], kinds["c.html"]) == ("text/plain", "text/markdown", "text/html")
    assert kinds["deep/d.py"] == "text/x-python"
    licences = {name: row["licence"] for name, row in by_id.items()}
    assert licences.pop("b.md") == "MIT" and licences.pop("c.html") == "CC-BY-SA-4.0"
    assert licences.pop("deep/d.py") == "Apache-2.0" and licences.pop("e.jsonl#3") == "CC-BY-4.0"
    assert set(licences.values()) == {"CC0-1.0"}
    assert by_id["e.jsonl#1"]["source"] == "http://x.example/1"
    assert json.loads(by_id["e.jsonl#1"]["metadata"]) == {"n": 1, "url": "http://x.example/1"}
    assert by_id["a.txt"]["source"] == f"{folder}/a.txt" and by_id["a.txt"]["time"].endswith("Z")
    assert all(row["sha256"] == text_hash(row["text"]) for row in by_id.values())
    assert {name.removeprefix(f"{folder}/"): reason for name, reason in rejects(out).items()} == {
        "e.jsonl#2": "no_text", "e.jsonl#4": "bad_row", "g.csv#3": "empty", "h.parquet#2": "no_text",
        "k.txt": "unreadable", "empty.txt": "empty",
    }  # fmt: skip
    assert (report.found, report.documents, report.rejected, report.unchanged) == (17, 11, 6, 0)
    assert report.left_out == {".png files": 1, "hidden files": 1}


def test_a_second_run_reads_only_what_changed(folder, tmp_path):
    out = tmp_path / "out"
    first = collect(out, folder)
    before = documents(out)
    manifest = (out / "documents.json").stat().st_mtime_ns
    again = collect(out, folder)
    assert (again.found, again.documents, again.unchanged, again.rejected) == (17, 0, 11, 6)
    assert documents(out) == before and (out / "documents.json").stat().st_mtime_ns == manifest
    (folder / "a.txt").write_text("changed now")
    (folder / "new.txt").write_text("new")
    (folder / "b.md").unlink()
    third = collect(out, folder)
    assert (third.documents, third.unchanged, third.removed, third.total) == (2, 9, 1, first.total)
    texts = {row["id"].rpartition("/")[2]: row["text"] for row in documents(out)}
    assert texts["a.txt"] == "changed now" and texts["new.txt"] == "new" and "b.md" not in texts


@pytest.mark.parametrize("name", ["a.txt", "e.jsonl"])
def test_a_file_that_was_refused_is_read_again(folder, tmp_path, monkeypatch, name):
    out, whole = tmp_path / "out", tmp_path / "whole"
    read = files.read_file

    def refused(path, *arguments):
        if path.name == name:
            raise PermissionError(13, "Permission denied") if name == "a.txt" else DataError("Permission denied")
        return read(path, *arguments)

    monkeypatch.setattr("sartor.data.collecting.collector.read_file", refused)
    report = collect(out, folder)
    monkeypatch.undo()
    assert rejects(out)[f"{folder}/{name}"] == "unreadable"
    collect(whole, folder)
    assert collect(out, folder).total > report.total
    assert documents(out) == documents(whole) and rejects(out) == rejects(whole)


def test_the_folder_is_the_same_as_one_collected_afresh(folder, tmp_path):
    collect(tmp_path / "one", folder)
    (folder / "a.txt").write_text("changed now")
    collect(tmp_path / "one", folder)
    collect(tmp_path / "two", folder)
    assert documents(tmp_path / "one") == documents(tmp_path / "two")
    files = [(tmp_path / name / "documents" / "00000.parquet").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


def test_other_settings_need_another_folder_but_sources_may_be_added(folder, tmp_path):
    out = tmp_path / "out"
    collect(out, folder / "deep")
    with pytest.raises(UsageError, match="other licence"):
        collect(out, folder / "deep", licence="MIT")
    with pytest.raises(UsageError, match="other sources"):
        collect(out, folder / "a.txt")
    report = collect(out, folder / "deep", folder / "a.txt")
    assert (report.documents, report.unchanged) == (1, 1)


def test_a_file_given_twice_is_read_once_and_the_output_never(folder, tmp_path):
    report = collect(folder / "out", folder, folder / "a.txt", folder / "deep")
    assert report.documents == 11
    assert collect(folder / "out", folder, folder / "a.txt", folder / "deep").found == 17


def test_wrong_sources_are_refused_before_anything_is_written(tmp_path):
    out = tmp_path / "out"
    (tmp_path / "picture.png").write_bytes(b"x")
    for source, what in [
        (tmp_path / "absent", "no such file"),
        (tmp_path / "picture.png", r"type \.png"),
        ("ftp://example.org/x", "not an http"),
        ("http://user:pass@example.org/", "user's name"),
        ("hub:nothing", "no name of a data set"),
    ]:
        with pytest.raises((DataError, UsageError), match=what):
            collect(out, source)
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        collect(out, tmp_path / "pipe.txt")
    assert not out.exists()


def test_a_folder_of_something_else_is_left_alone(folder, tmp_path):
    with pytest.raises(UsageError, match="holds other things"):
        collect(folder, folder / "a.txt")
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="is a file"):
            collect(place, folder)


def test_a_folder_that_cannot_be_made_or_written_to_is_told(folder, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SartorError, match="cannot write: Permission denied"):
        collect(tmp_path / "there", folder)

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SartorError, match="cannot write: Read-only file system"):
        collect(tmp_path / "new" / "out", folder)


def test_two_at_once_are_refused(folder, tmp_path):
    collect(tmp_path / "out", folder)
    with Lock(tmp_path / "out" / ".lock", "collecting here"), pytest.raises(SartorError, match="is collecting here"):
        collect(tmp_path / "out", folder)


def test_stopped_and_gone_on_is_the_same_as_never_stopped(folder, tmp_path):
    class StopAfter(StopRequest):
        """Asks to stop at the n-th question."""

        def __init__(self, questions):
            super().__init__()
            self.questions = questions

        @property
        def requested(self):
            self.questions -= 1
            return self.questions < 0

        @requested.setter
        def requested(self, value):
            pass

    collect(tmp_path / "whole", folder)
    stops = 0
    for questions in (0, 1, 3, 5, 8, 12):
        try:
            collect(tmp_path / "pieces", folder, stop=StopAfter(questions))
        except Interrupted as error:
            stops += 1
            assert error.exit_code == 75 and not (tmp_path / "pieces" / "documents.json").exists()
    report = collect(tmp_path / "pieces", folder)
    assert stops >= 4
    assert documents(tmp_path / "pieces") == documents(tmp_path / "whole")
    assert (report.found, report.total) == (17, 11)


def test_killed_anywhere_it_goes_on_without_loss(folder, tmp_path):
    """SIGKILL at random moments; what is published in the end is what an undisturbed run publishes."""
    for number in range(300):
        (folder / f"many{number:03d}.jsonl").write_text(
            "".join(f'{{"text": "row {n} of {number}"}}\n' for n in range(50))
        )
    collect(tmp_path / "whole", folder)
    command = [sys.executable, "-m", "sartor", "collect", str(folder), "--out", str(tmp_path / "killed")]
    kills = 0
    journal = tmp_path / "killed" / "journal.sqlite"
    for delay in (0.0, 0.05, 0.1, 0.2, 0.3, 0.15):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = journal.stat().st_mtime_ns if journal.exists() else 0
        until = time.monotonic() + 20
        while time.monotonic() < until and not (journal.exists() and _touched(journal) > before):
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        kills += process.wait(30) == -signal.SIGKILL
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert kills >= 2
    # The command reads at most 50 MB a document where the helper reads 2: the documents are the same.
    assert documents(tmp_path / "killed") == documents(tmp_path / "whole")
    assert rejects(tmp_path / "killed") == rejects(tmp_path / "whole")


def _touched(journal):
    """When the journal or the log beside it was last written."""
    log = journal.with_name(journal.name + "-wal")
    return max(path.stat().st_mtime_ns for path in (journal, log) if path.exists())


@pytest.mark.parametrize("step", range(5))
def test_killed_while_publishing(folder, tmp_path, step, monkeypatch):
    """Stopped before each move of the files into their place: a reader sees the old, nothing, or the new."""
    out = tmp_path / "out"
    collect(out, folder)
    before = documents(out)
    (folder / "a.txt").write_text("changed now")
    done = []

    class Killed(BaseException):
        pass

    def counted(call):
        def replacement(*arguments, **options):
            if len(done) == step:
                raise Killed
            done.append(call)
            return call(*arguments, **options)

        return replacement

    monkeypatch.setattr(publishing.os, "rename", counted(os.rename))
    monkeypatch.setattr(publishing, "sync_folder", counted(publishing.sync_folder))
    with pytest.raises(Killed):
        collect(out, folder)
    monkeypatch.undo()
    try:
        seen = documents(out)
    except DataError:
        seen = None
    collect(out, folder)
    after = documents(out)
    assert {row["text"] for row in after} - {row["text"] for row in before} == {"changed now"}
    assert seen in (None, before, after)
    assert sorted(path.name for path in out.iterdir() if path.name != ".lock") == [
        "documents", "documents.json", "journal.sqlite", "rejects.jsonl",
    ]  # fmt: skip


def test_a_damaged_journal_is_named(folder, tmp_path):
    collect(tmp_path / "out", folder)
    (tmp_path / "out" / "journal.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(DataError, match="not a readable journal"):
        collect(tmp_path / "out", folder)
