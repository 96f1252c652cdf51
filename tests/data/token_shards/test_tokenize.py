"""Documents to shards: what is in them, and that neither processes nor kills change a byte."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sartor.base.errors import DataError, SartorError, UsageError
from sartor.data.document_folder import DocumentFolder
from sartor.data.token_shards import tokenize as module
from sartor.data.token_shards.reader import TokenShards
from sartor.data.token_shards.source import ids_and_texts, is_held_out, open_source
from sartor.data.token_shards.tokenize import tokenize
from sartor.data.token_shards.writer import ShardWriter
from tests import tiny_models
from tests.data.token_shards import made

SHARE = 0.2


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 2000)
    monkeypatch.setattr(module, "NOTE_BATCHES", 3)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    return made.document_folder(tmp_path / "documents", made.texts(150))


def make(documents: Path, out: Path, processes: int = 1, shard_tokens: int = 2000) -> TokenShards:
    return tokenize(open_source(documents), tiny_models.tokenizer(), out, SHARE, processes, shard_tokens)


@pytest.mark.usefixtures("small_batches")
def test_every_document_is_there_once_with_its_ends(documents: Path, tmp_path: Path) -> None:
    shards, tokenizer = make(documents, tmp_path / "tokens"), tiny_models.tokenizer()
    rows = [row for table in DocumentFolder.open(documents).tables() for row in table.to_pylist()]
    for name in ("train", "held_out"):
        split = shards.split(name)
        expected = [row for row in rows if is_held_out(row["id"], SHARE) == (name == "held_out")]
        assert expected and split.num_documents == len(expected)
        for index, row in enumerate(expected):
            ids = tokenizer(row["text"], add_special_tokens=False, split_special_tokens=True).input_ids
            assert split.document(index).tolist() == [tokenizer.eos_token_id, *ids, tokenizer.eos_token_id]
            assert split.text_bytes[index] == len(row["text"].encode())
    assert len(shards.split("train").shards) > 2
    shards.verify()
    manifest = shards.manifest
    assert (manifest.bos, manifest.eos, manifest.vocabulary) == (0, 0, len(tokenizer))


def test_a_tokenizers_own_beginning_is_used(documents: Path, tmp_path: Path) -> None:
    tokenizer = tiny_models.tokenizer("llama3")
    shards = tokenize(open_source(documents), tokenizer, tmp_path / "tokens")
    first = shards.split("train").document(0)
    assert (first[0], first[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert tokenizer.bos_token_id != tokenizer.eos_token_id


@pytest.mark.usefixtures("small_batches")
def test_the_bytes_do_not_depend_on_the_number_of_processes(documents: Path, tmp_path: Path) -> None:
    make(documents, tmp_path / "one", processes=1)
    make(documents, tmp_path / "two", processes=2)
    assert made.contents(tmp_path / "one") == made.contents(tmp_path / "two")


class Stop(Exception):
    pass


@pytest.mark.usefixtures("small_batches")
def test_stopped_anywhere_and_resumed_the_bytes_are_the_same(
    documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(documents, tmp_path / "whole")
    whole = made.contents(tmp_path / "whole")
    draw, add, note = random.Random(0), ShardWriter.add, ShardWriter.note
    for number in range(25):
        out, calls = tmp_path / f"stopped{number}", 0
        for last in (draw.randrange(2, 40), draw.randrange(2, 40)):
            calls = 0

            def sometimes(self: ShardWriter, *arguments: object, last: int = last) -> None:
                nonlocal calls
                calls += 1
                (add if arguments else note)(self, *arguments)  # type: ignore[operator]
                if calls == last:
                    raise Stop

            monkeypatch.setattr(ShardWriter, "add", sometimes)
            monkeypatch.setattr(ShardWriter, "note", sometimes)
            with pytest.raises(Stop):
                make(documents, out)
                raise Stop
            with pytest.raises(DataError) if not (out / "tokens.json").exists() else pytest.raises(Stop):
                TokenShards.open(out)
                raise Stop
        monkeypatch.setattr(ShardWriter, "add", add)
        monkeypatch.setattr(ShardWriter, "note", note)
        make(documents, out)
        assert made.contents(out) == whole


CHILD = """
import sys
from pathlib import Path
from sartor.data.token_shards import tokenize as module
from tests.data.token_shards.test_tokenize import make
module.BATCH_BYTES, module.NOTE_BATCHES = 2000, 3
if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
"""


@pytest.mark.usefixtures("small_batches")
def test_killed_and_resumed_the_bytes_are_the_same(tmp_path: Path) -> None:
    documents = made.document_folder(tmp_path / "documents", made.texts(3000, longest=400))
    make(documents, tmp_path / "whole")
    script, out = tmp_path / "child.py", tmp_path / "killed"
    script.write_text(CHILD)
    root = Path(__file__).parents[3]
    command = [sys.executable, str(script), str(documents), str(out), "2"]
    child = subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not (out / "unfinished.json").exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert child.poll() is None, "it ended before it could be killed"
        child.send_signal(signal.SIGKILL)
        assert child.wait(60) == -signal.SIGKILL
        deadline = time.monotonic() + 30
        while _alive_in_group(child.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _alive_in_group(child.pid), "its workers live on"
    finally:
        child.kill()
        child.wait()
    assert not (out / "tokens.json").exists()
    make(documents, out)
    assert made.contents(out) == made.contents(tmp_path / "whole")


def _alive_in_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.usefixtures("small_batches")
def test_a_worker_that_dies_is_an_error_and_what_was_noted_stays(
    documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "parts_of", _die)
    with pytest.raises(SartorError, match="ended from outside"):
        make(documents, tmp_path / "tokens", processes=2)
    monkeypatch.undo()
    make(documents, tmp_path / "tokens")


def _die(ids: object, texts: object) -> None:
    os._exit(1)


def test_what_is_complete_is_opened_and_nothing_else_passes_for_it(documents: Path, tmp_path: Path) -> None:
    first, out = make(documents, tmp_path / "tokens"), tmp_path / "tokens"
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.tokens")}
    assert make(documents, out).manifest == first.manifest
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*.tokens")}
    other = made.document_folder(tmp_path / "others", made.texts(20, seed=9))
    for arguments, named in (
        ((open_source(other), tiny_models.tokenizer(), out, SHARE), "source"),
        ((open_source(documents), tiny_models.tokenizer("llama3"), out, SHARE), "tokenizer"),
        ((open_source(documents), tiny_models.tokenizer(), out, 0.5), "held out share"),
    ):
        with pytest.raises(DataError, match=f"made with another .*{named}"):
            tokenize(*arguments)


@pytest.mark.usefixtures("small_batches")
def test_what_was_begun_goes_on_only_with_the_same_settings(
    documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShardWriter, "publish", lambda *_: (_ for _ in ()).throw(Stop()))
    with pytest.raises(Stop):
        make(documents, tmp_path / "tokens")
    with pytest.raises(DataError, match="begun with other settings: held_out_share"):
        tokenize(open_source(documents), tiny_models.tokenizer(), tmp_path / "tokens", 0.5, shard_tokens=2000)
    with pytest.raises(DataError, match="begun with other settings: shard_tokens"):
        make(documents, tmp_path / "tokens", shard_tokens=99)
    path = tmp_path / "tokens" / "train" / "00000.tokens"
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(DataError, match="shorter than it was"):
        make(documents, tmp_path / "tokens")


def test_parts_of_one_text_are_on_one_side() -> None:
    for book in range(200):
        assert (
            len({is_held_out(f"book{book}##{part}", 0.3) for part in range(5)} | {is_held_out(f"book{book}", 0.3)}) == 1
        )
    share = np.mean([is_held_out(f"book{book}", 0.3) for book in range(5000)])
    assert 0.27 < share < 0.33


@pytest.mark.parametrize("share", [-0.1, 1.0, 7.0])
def test_a_share_that_is_none_is_refused(documents: Path, tmp_path: Path, share: float) -> None:
    with pytest.raises(UsageError, match="held-out share"):
        tokenize(open_source(documents), tiny_models.tokenizer(), tmp_path / "tokens", share)


# --- sources ------------------------------------------------------------------------------------------------------


def read(path: Path, max_bytes: int = 10**6) -> list[tuple[str, str]]:
    tables = list(open_source(path).tables(max_bytes))
    assert all(table["text"].nbytes <= 2 * max_bytes for table in tables)
    return [pair for table in tables for pair in zip(*ids_and_texts(table), strict=True)]


def test_rows_and_plain_texts_are_documents_too(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "a", "text": "one\\r\\n two "}\n{"text": "\\u0000"}\n')
    assert read(rows) == [("a", "one\r\n two "), ("rows.jsonl:2", "\0")]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x.txt").write_text("hello\n")
    (tmp_path / "folder" / "y.md").write_text("# Title\n\nthere")
    assert [name for name, _ in read(tmp_path / "folder")] == ["x.txt", "y.md"]
    (tmp_path / "split").mkdir()
    for name in ("b.jsonl", "a.jsonl"):
        (tmp_path / "split" / name).write_text(json.dumps({"id": name, "text": "t"}) + "\n")
    assert read(tmp_path / "split") == [("a.jsonl", "t"), ("b.jsonl", "t")]


def test_ids_of_rows_without_one_do_not_depend_on_how_the_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in (tmp_path / "rows.jsonl", moved / "rows.jsonl"):
        path.write_text("".join(f'{{"text": "row {number}"}}\n' for number in range(3)))
    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "rows.parquet")
    expected = [(f"rows.jsonl:{number + 1}", f"row {number}") for number in range(3)]
    for path in (Path("rows.jsonl"), Path("./elsewhere/../rows.jsonl"), tmp_path / "rows.jsonl", moved):
        assert read(path) == expected
    assert [name for name, _ in read(Path("rows.parquet"))] == ["rows.parquet: row 1", "rows.parquet: row 2"]


def test_rows_are_cut_into_tables_by_their_bytes(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": f"{n}", "text": "é" * n}) + "\n" for n in range(100)))
    tables = list(open_source(rows).tables(200))
    assert [name for table in tables for name in table["id"].to_pylist()] == [str(n) for n in range(100)]
    sizes = [[len(text.encode()) for text in table["text"].to_pylist()] for table in tables]
    assert all(sum(each) <= 200 for each in sizes)
    assert all(sum(each) + following[0] > 200 for each, following in zip(sizes, sizes[1:], strict=False))


def test_the_fingerprint_follows_the_documents(tmp_path: Path, documents: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    seen = set()
    for text in ("a", "b"):
        rows.write_text(json.dumps({"text": text}))
        seen.add(open_source(rows).fingerprint)
    seen.add(open_source(documents).fingerprint)
    assert len(seen) == 3
    assert open_source(documents).num_bytes == sum(len(text.encode()) for text in made.texts(150))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'{"text": "\xff\xfe"}\n', "not UTF-8"),
        (b'{"text": "a \\ud800 b"}\n', "surrogate"),
        (b'{"id": "\\ud800", "text": "a"}\n', "surrogate"),
        (b'{"content": "a"}\n', "no text .columns: content"),
        (b'{"text": 5}\n', "no text .it is 5"),
    ],
)
def test_a_row_that_is_no_document_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b'{"text": "good"}\n' + content)
    with pytest.raises(DataError, match=what) as found:
        tokenize(open_source(rows), tiny_models.tokenizer(), tmp_path / "tokens")
    assert "rows.jsonl:2" in str(found.value.where) and found.value.hint


def test_a_text_that_is_not_utf8_inside_arrow_is_named() -> None:
    raw = pa.array([b"good", b"\xff"], pa.large_binary()).view(pa.large_string())
    with pytest.raises(DataError, match="not UTF-8") as found:
        ids_and_texts(pa.table({"id": ["a", "b"], "text": raw}))
    assert found.value.where == "document b"
