"""What is kept, what is left in the file, files of version 1, and changes that are seen at once."""

import gzip
import json
import re
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from sartor.data.extract import make_document
from sartor.retrieval import store as store_module
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.schema import APPLICATION_ID
from sartor.retrieval.search import StoreRetriever, search
from sartor.retrieval.snapshot import Vectors
from sartor.retrieval.store import KnowledgeStore

SECRET = "Xylographicunicorn"


def counted(embedder, monkeypatch) -> list[str]:
    """The texts that are embedded from now on."""
    embedded: list[str] = []
    embed = embedder.embed
    monkeypatch.setattr(embedder, "embed", lambda texts: embedded.extend(texts) or embed(texts))
    return embedded


def test_equal_chunks_are_embedded_once(store, embedder, make_documents, monkeypatch):
    embedded = counted(embedder, monkeypatch)
    same = [make_document(id, "T", "Ships sail.") for id in "ab"]
    assert index_folder(store, same, embedder).embedded == 1
    moved = [make_document("elsewhere/a", "T", "Ships sail."), make_document("new", "T", "Tea is green.")]
    report = index_folder(store, moved, embedder)
    assert (report.added, report.removed, report.embedded) == (2, 2, 1)
    assert embedded == ["T\nShips sail.", "T\nTea is green."] and store.statistics().vectors == 2
    assert index_folder(store, [make_document("new", "T", "Tea is black.")], embedder).embedded == 1
    assert index_folder(store, [make_document("new", "T", "Tea is green.")], embedder).embedded == 0  # it came back
    assert store.statistics().spare_vectors == 1
    store.compact()
    assert store.statistics().spare_vectors == 0 and store.problems() == []


def test_spare_vectors_are_bounded(store, embedder, monkeypatch):
    monkeypatch.setattr(store_module, "SPARE_VECTORS", 3)
    for number in range(9):
        index_folder(store, [make_document("a", "T", f"Text {number}.")], embedder)
    assert store.statistics().spare_vectors == 3
    assert index_folder(store, [make_document("a", "T", "Text 7.")], embedder).embedded == 0  # the newest are kept
    assert index_folder(store, [make_document("a", "T", "Text 1.")], embedder).embedded == 1


def test_nothing_of_a_deleted_document_is_left_in_the_file(tmp_path, embedder):
    path = tmp_path / "k.sqlite"
    documents = [make_document(f"d{n}", "T", f"Ships sail {n} times. " * 40) for n in range(30)]
    secret = make_document(f"{SECRET}.txt", SECRET, f"The {SECRET} sings. " * 200, "", {"who": SECRET})
    with KnowledgeStore(path, create=True) as store:
        index_folder(store, [*documents[:15], secret, *documents[15:]], embedder)
        vector = store.vectors_of([next(iter(_embedded(store, secret.id)))]).popitem()[1]
        assert _left_in(path, vector) == [True, True]
        store.remove([secret.id])
        assert _left_in(path, vector) == [False, False]
        assert store.problems() == [] and len(store.fingerprints()) == 30


def _embedded(store, document_id):
    ids, _ = store.matrix()
    return {f"{chunk.title}\n{chunk.text}" for chunk in store.chunks(ids.tolist()).values()
            if chunk.document_id == document_id}  # fmt: skip


def _left_in(path: Path, vector: np.ndarray) -> list[bool]:
    """Whether the word (or what the word index keeps of it) and the vector are in the files' bytes."""
    bytes_left = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    return [
        bool(re.search(SECRET[:9].encode(), bytes_left, re.IGNORECASE)),
        vector.astype("<f2").tobytes() in bytes_left,
    ]


def test_compacting_gives_back_the_space(tmp_path, make_embedder):
    embedder = make_embedder("large", 384, 200)
    with KnowledgeStore(tmp_path / "k.sqlite", create=True) as store:
        texts = [" ".join(f"Ship {n} sails {n * turn} miles." for turn in range(120)) for n in range(60)]
        index_folder(store, [make_document(f"d{n}", "T", text) for n, text in enumerate(texts)], embedder)
        kept = {f"d{n}" for n in range(20)}
        store.remove([id for id in store.fingerprints() if id not in kept])
        query, generation = embedder.embed(["sails"]), store.generation
        (found,) = store.candidates(["sails"], query, 30)
        before, after = store.compact()
        statistics = store.statistics()
        assert after < before / 2 and statistics.file_bytes == after <= 3 * statistics.live_bytes
        assert store.generation > generation and store.fingerprints().keys() == kept and store.problems() == []
        (again,) = store.candidates(["sails"], query, 30)
        np.testing.assert_array_equal(again.ids, found.ids)
        np.testing.assert_array_equal(again.lexical, found.lexical)


def test_half_the_bytes_do_not_change_the_ranking():
    """Float16 against float32 on unit vectors of 384 numbers: the cosine within .0002, the best 10 the same."""
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((5000, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[:50] + 0.1 * draw.standard_normal((50, 384)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    exact, stored = queries @ vectors.T, queries @ vectors.astype("<f2").astype(np.float32).T
    assert np.abs(exact - stored).max() < 2e-4
    best = zip(np.argsort(-exact)[:, :10], np.argsort(-stored)[:, :10], strict=True)
    shared = [len(set(before) & set(after)) for before, after in best]
    assert np.mean(shared) > 9.9


def test_a_file_of_version_1_is_brought_to_this_one(tmp_path, embedder):
    """The file was written by the release that had version 1, with the embedder of these tests."""
    path = tmp_path / "old.sqlite"
    path.write_bytes(gzip.decompress(Path(__file__).with_name("version_1.sqlite.gz").read_bytes()))
    texts = json.loads(Path(__file__).with_name("version_1.json").read_text())
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    connection.close()
    with KnowledgeStore(path) as store:
        assert store.problems() == []
        assert {id: store.document(id).text for id in store.fingerprints()} == texts
        chunks = store.chunks(store.matrix()[0].tolist()).values()
        embedded = embedder.embed([f"{chunk.title}\n{chunk.text}" for chunk in chunks])
        np.testing.assert_array_equal(store.matrix()[1], embedded.astype(np.float16))
        assert search(store, embedder, ["storm"], 1, 0.0)[0][0].document_id == "a"
        report = index_folder(store, [make_document(id, f"About {id}", text) for id, text in texts.items()], embedder)
        assert (report.added, report.removed, report.embedded) == (0, 0, 0)  # whether or not it is cut as it was
    with KnowledgeStore(path) as store:
        assert store.problems() == []


def test_a_changed_document_answers_the_next_question(store, embedder):
    """A retriever that is open, as a server's is, next to a process that indexes."""
    documents = [make_document(f"d{n}", f"Page {n}", f"Ships and tea {n}. " * 20) for n in range(300)]
    index_folder(store, documents, embedder)
    retriever = StoreRetriever(store, embedder)
    with KnowledgeStore(store.path) as other:
        for holder, old in (("Anna", None), ("Berta", "Anna"), ("Clara", "Berta")):
            fact = make_document("fact", "Captain", f"The captain is called {holder}.")
            index_folder(other, [*documents, fact], embedder)
            started = time.monotonic()
            (found,) = retriever.retrieve(["who is the captain called"], 300)
            assert time.monotonic() - started < 1
            assert holder in found[0].text
            assert old is None or not any(old in passage.text for passage in found)
        other.remove(["fact"])
    (found,) = retriever.retrieve(["who is the captain called"], 300)
    assert not any("captain" in passage.text for passage in found)


def test_vectors_in_memory_are_read_once(store, embedder, make_documents, monkeypatch):
    """After a change only the new ones come from the file; what is in memory is what a new reader gets."""
    index_folder(store, make_documents(**{f"d{n}": f"text {n}" for n in range(50)}), embedder)
    store.matrix()
    index_folder(store, make_documents(**{f"d{n}": f"text {n if n % 7 else 'new'}" for n in range(60)}), embedder)
    read = []
    store._connection.set_trace_callback(lambda statement: read.append("SELECT vector FROM vectors" in statement))
    ids, matrix = store.matrix()
    store._connection.set_trace_callback(None)
    assert sum(read) == 10 + 8
    fresh = Vectors.read(store._connection, embedder.dimension, None)
    np.testing.assert_array_equal(fresh.ids, ids)
    np.testing.assert_array_equal(fresh.matrix, matrix)


@pytest.mark.parametrize("bytes_kept", [0, 10**9])
def test_word_scores_do_not_depend_on_what_is_kept(store, embedder, make_documents, monkeypatch, bytes_kept):
    monkeypatch.setattr("sartor.retrieval.snapshot.WORD_BYTES", bytes_kept)
    index_folder(store, make_documents(**{f"d{n}": f"ship {n} " + "sea " * n for n in range(9)}), embedder)
    asked = embedder.embed(["ship sea"])
    first = store.candidates(["ship sea"], asked, 99)[0].lexical
    store.candidates(["4 5"], asked, 99)
    np.testing.assert_array_equal(store.candidates(["ship sea"], asked, 99)[0].lexical, first)
