"""The knowledge store against a dictionary: transactions, refusals, caches, other processes."""

import random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sartor.base.errors import DataError, SartorError, UsageError
from sartor.data.extract import make_document
from sartor.retrieval.database import journal_mode
from sartor.retrieval.indexing import IndexReport, index_folder
from sartor.retrieval.store import KnowledgeStore, Prepared


def texts_in(store: KnowledgeStore) -> dict[str, str]:
    return {id: store.document(id).text for id in store.fingerprints()}


def found_by(store: KnowledgeStore, word: str) -> set[str]:
    (found,) = store.candidates([word], np.zeros((1, 16), dtype=np.float32), 1000)
    return set(store.document_ids(found.ids[found.lexical > 0].tolist()))


def test_index_adds_replaces_removes_and_embeds_only_what_changed(
    store, embedder, make_documents, monkeypatch
):
    embedded: list[str] = []
    embed = embedder.embed
    monkeypatch.setattr(embedder, "embed", lambda texts: embedded.extend(texts) or embed(texts))
    first = make_documents(a="Red ships sail.", b="Blue whales dive.", c="Green tea.")
    assert index_folder(store, first, embedder) == IndexReport(3, 0, 0, 0, 3, (), 3)
    second = make_documents(a="Red ships sail.", b="Grey whales dive.", d="Black tea.")
    embedded.clear()
    assert index_folder(store, second, embedder) == IndexReport(1, 1, 1, 1, 3, (), 2)
    assert embedded == ["About b\nGrey whales dive.", "About d\nBlack tea."]
    assert texts_in(store) == {document.id: document.text for document in second}
    assert (found_by(store, "blue"), found_by(store, "green"), found_by(store, "whale")) == (
        set(),
        set(),
        {"b"},
    )
    assert store.problems() == []
    assert index_folder(store, second, embedder, target_tokens=150).replaced == 3  # cut anew


def test_a_document_without_a_chunk_is_named(store, embedder, make_documents):
    report = index_folder(store, make_documents(a="words", blank=" \n "), embedder)
    assert report.without_text == ("blank",) and report.chunks == 1 and texts_in(store)["blank"] == " \n "


def test_a_bad_source_changes_nothing(store, embedder, make_documents):
    index_folder(store, make_documents(a="one"), embedder)

    def source():
        yield from make_documents(b="two")
        raise DataError("damaged")

    with pytest.raises(DataError, match="damaged"):
        index_folder(store, source(), embedder)
    with pytest.raises(DataError, match="used twice"):
        index_folder(store, make_documents(b="two") * 2, embedder)
    assert texts_in(store) == {"a": "one"}


def test_random_operations_with_crashes_and_reopening_match_a_dictionary(tmp_path, embedder):
    generator = random.Random(0)
    path = tmp_path / "store.sqlite"
    store, expected, crashes = KnowledgeStore(path, create=True), {}, 0
    words = ["ship", "sea", "storm", "harbour", "sailor", "and", "über", "日本"]

    def interrupt_after(steps: int) -> Callable[[], int]:
        left = iter(range(steps))
        return lambda: int(next(left, None) == steps - 1)

    for operation in range(100):
        id = f"d{generator.randrange(8)}"
        kind = generator.choice(["write", "write", "remove", "crash", "reopen"])
        text = " ".join(generator.choices(words, k=generator.randrange(1, 120)))
        if kind == "reopen":
            store.close()
            store = KnowledgeStore(path)
        elif kind == "remove":
            store.remove([id])
            expected.pop(id, None)
        elif kind == "write":
            index_folder(
                store, [make_document(i, "T", t) for i, t in (expected | {id: text}).items()], embedder
            )
            expected[id] = text
        else:
            documents = [make_document(i, "T", t) for i, t in (expected | {id: text}).items()]
            store._connection.set_progress_handler(interrupt_after(generator.randrange(1, 400)), 1)
            try:
                index_folder(store, documents, embedder)
                expected[id] = text
            except sqlite3.OperationalError:
                crashes += 1
            store._connection.set_progress_handler(None, 1)
        assert texts_in(store) == expected, operation
        for word in ("ship", "harbour"):
            assert found_by(store, word) == {i for i, t in expected.items() if word in t.split()}
    assert crashes > 5 and store.problems() == []
    ids, vectors = store.matrix()
    assert len(ids) == store.count_chunks() > 0 and vectors.shape == (len(ids), embedder.dimension)
    store.close()


def test_another_embedder_is_refused(store, embedder, make_embedder, make_documents):
    index_folder(store, make_documents(a="one"), embedder)
    other = make_embedder("other")
    for use in (
        lambda: store.require_embedder(other),
        lambda: index_folder(store, make_documents(b="two"), other),
        lambda: store.write([], other),
    ):
        with pytest.raises(UsageError, match="another embedding model") as error:
            use()
        assert error.value.hint
    assert texts_in(store) == {"a": "one"}


def test_vectors_that_do_not_fit_are_refused(store, embedder, make_documents):
    (document,) = make_documents(a="one")
    for vectors in (np.zeros((1, 16), np.float32), np.full((0, 15), 0.0, np.float32)):
        with pytest.raises(ValueError, match="vectors must be"):
            store.write([Prepared(document, [], vectors, "")], embedder)


def test_wrong_files_are_refused_and_unharmed(tmp_path, embedder, make_documents):
    with pytest.raises(UsageError, match="no knowledge store"):
        KnowledgeStore(tmp_path / "absent.sqlite")
    assert not (tmp_path / "absent.sqlite").exists()
    text = tmp_path / "text.sqlite"
    text.write_text("not a database " * 100)
    with pytest.raises(DataError, match="damaged, or not a knowledge store"):
        KnowledgeStore(text)
    assert text.read_text() == "not a database " * 100
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(DataError, match="not a knowledge store"):
        KnowledgeStore(foreign, create=True)
    with pytest.raises(SartorError, match="cannot use the knowledge store"):
        KnowledgeStore(tmp_path / "no folder" / "x.sqlite", create=True)
    newer = tmp_path / "newer.sqlite"
    KnowledgeStore(newer, create=True).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DataError, match="another version"):
        KnowledgeStore(newer)


def test_a_damaged_file_is_found(tmp_path, embedder, make_documents):
    path = tmp_path / "store.sqlite"
    with KnowledgeStore(path, create=True) as store:
        index_folder(
            store, make_documents(**{f"d{n}": f"Ship {n} sails. " * 30 for n in range(20)}), embedder
        )
        assert store.problems() == []
        store._connection.execute("UPDATE chunks SET text = 'quite different' WHERE id = 3")
        store._connection.execute("UPDATE vectors SET vector = x'00' WHERE id = 2")
        store._connection.execute("UPDATE vectors SET uses = 7 WHERE id = 5")
        store._connection.execute("UPDATE documents SET metadata = '{\"year\": 2025}' WHERE id = 'd7'")
        assert len(store.problems()) == 5
    damaged = bytearray(path.read_bytes())
    for page in range(2, len(damaged) // 4096, 2):
        damaged[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="damaged"), KnowledgeStore(path) as store:
        for id in store.fingerprints():
            store.document(id)
        store.matrix()
        assert store.problems() == []


def test_the_matrix_is_kept_until_any_connection_writes(store, embedder, make_documents):
    index_folder(store, make_documents(a="one", b="two"), embedder)
    ids, vectors = store.matrix()
    assert store.matrix()[1] is vectors
    np.testing.assert_array_equal(vectors, embedder.embed(["About a\none", "About b\ntwo"]).astype(np.float16))
    with KnowledgeStore(store.path) as other:
        other.remove(["a"])
    assert len(store.matrix()[0]) == 1
    store.remove(["b"])
    assert store.matrix()[1].shape == (0, embedder.dimension)


def test_a_second_writer_waits_its_turn_or_is_told(store, embedder, make_documents):
    with KnowledgeStore(store.path) as other, store._writing():
        other._connection.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(SartorError, match="locked") as error:
            index_folder(other, make_documents(a="one"), embedder)
        assert "another process" in error.value.hint
    assert texts_in(store) == {}


def test_threads_share_a_store(store, embedder, make_documents):
    index_folder(store, make_documents(a="one", b="two"), embedder)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for round in range(10):
                if number == 0:
                    index_folder(store, make_documents(a="one", b=f"two {round}"), embedder)
                with store.reading():
                    ids, _ = store.matrix()
                    assert len(store.chunks(ids.tolist())) == 2
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_journal_is_the_safe_one(store: KnowledgeStore, tmp_path: Path):
    assert [journal_mode(version) for version in ((3, 40, 1), (3, 51, 2), (3, 51, 3), (3, 52, 0))] == [
        "TRUNCATE", "TRUNCATE", "WAL", "WAL",
    ]  # fmt: skip
    pragmas = {
        name: store._connection.execute(f"PRAGMA {name}").fetchone()
        for name in ("journal_mode", "synchronous")
    }
    assert pragmas == {"journal_mode": (journal_mode().lower(),), "synchronous": (2,)}
    mapped = store._connection.execute("PRAGMA mmap_size").fetchone()
    assert mapped in (None, (0,))
