"""The knowledge store: one SQLite file with documents, chunks, full text and vectors, changed in whole
transactions.

What a search needs beside it (`snapshot.py`) is derived and thrown away when the file changes.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sartor.base.errors import UsageError
from sartor.data.extract import Document, Scalar
from sartor.retrieval.chunking import Chunk
from sartor.retrieval.database import named_errors, open_database
from sartor.retrieval.filters import allowed_documents, field_rows
from sartor.retrieval.fusion import Candidates
from sartor.retrieval.listing import DocumentEntry, documents_of, spans_of
from sartor.retrieval.protocol import TextEmbedder, Where
from sartor.retrieval.schema import (
    APPLICATION_ID,
    SCHEMA,
    SCHEMA_VERSION,
    UPGRADES,
    VECTOR_TYPE,
    keep_vector,
    text_hash,
)
from sartor.retrieval.snapshot import Vectors, WordScores, candidates
from sartor.retrieval.store_facts import StoreFacts
from sartor.retrieval.upkeep import StoreStatistics, problems_of, statistics_of

SPARE_VECTORS = 10_000
"""Vectors of chunks that were replaced are kept up to this number, so that a text that comes back is not embedded
again (8 MB with 384 numbers each). `remove` and `compact` drop those of their documents at once."""

DOCUMENT_FIELDS = "id, title, text, path, sha256, metadata"


@dataclass(frozen=True)
class Prepared:
    """A document ready to be written: `vectors` is float32 [len(chunks), dimension]; `chunking` says how it
    was cut.
    """

    document: Document
    chunks: Sequence[Chunk]
    vectors: np.ndarray
    chunking: str

    def require_vectors(self, dimension: int) -> None:
        """ValueError for vectors of another shape, or that are not finite."""
        if self.vectors.shape != (len(self.chunks), dimension) or not np.isfinite(self.vectors).all():
            raise ValueError(f"{self.document.id}: vectors must be finite and [chunks, {dimension}]")


@dataclass(frozen=True)
class StoredChunk:
    """A chunk as it is found: `position` counts the chunks of its document from 0."""

    id: int
    document_id: str
    position: int
    start: int
    end: int
    title: str
    text: str


class KnowledgeStore(StoreFacts):
    """One store file; usable from several threads and next to other processes.

    Reads see the last committed state; a write is whole and durable when it returns, or it never was.
    """

    kind = "file"

    def __init__(self, path: Path, create: bool = False):
        """Open `path`; with `create` a missing file is made. A file of an earlier version is brought to this one.

        UsageError when it is missing, DataError when it is damaged or not a knowledge store.
        """
        if not create and not path.is_file():
            raise UsageError("there is no knowledge store here", where=str(path), hint="make one with sartor index")
        self.path = path
        self._lock = threading.RLock()
        self._derived: tuple[int, Vectors, WordScores] | None = None
        self._connection = open_database(path, SCHEMA, APPLICATION_ID, SCHEMA_VERSION, UPGRADES)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "KnowledgeStore":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def location(self) -> str:
        """The file, as a person may see it."""
        return str(self.path)

    def write(self, prepared: Sequence[Prepared], embedder: TextEmbedder) -> None:
        """Add or replace documents, all of them in one transaction."""
        for item in prepared:
            item.require_vectors(embedder.dimension)
        with self._writing():
            self._keep_embedder(embedder)
            for item in prepared:
                self._delete(item.document.id)
                self._insert(item)
            self._connection.execute(
                "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors WHERE uses = 0 ORDER BY id DESC "
                "LIMIT -1 OFFSET ?)",
                (SPARE_VECTORS,),
            )

    def remove(self, document_ids: Sequence[str]) -> None:
        """Remove documents and all that was made of them, in one transaction; unknown ids are no error.

        Nothing of their texts is left in the file, not even single words: the word index is written anew.
        """
        with self._writing():
            used: set[int] = set()
            for document_id in document_ids:
                used |= self._delete(document_id)
            self._connection.executemany("DELETE FROM vectors WHERE id = ? AND uses = 0", [(id,) for id in used])
            self._connection.execute("INSERT INTO full_text (full_text) VALUES ('optimize')")
        self._empty_log()

    def compact(self) -> tuple[int, int]:
        """Make the file as small as what it holds, without the vectors kept for texts that may come back; the bytes
        before and after. A kill at any moment leaves the whole store.
        """
        before = self.path.stat().st_size
        with self._writing():
            self._connection.execute("DELETE FROM vectors WHERE uses = 0")
            self._connection.execute("INSERT INTO full_text (full_text) VALUES ('optimize')")
        with self._lock, named_errors(self.path):
            self._connection.execute("VACUUM")
        self._empty_log()
        return before, self.path.stat().st_size

    def fingerprints(self) -> dict[str, tuple[str, str]]:
        """For every document id its hash and how it was cut."""
        with self.reading():
            rows = self._connection.execute("SELECT id, sha256, chunking FROM documents ORDER BY id")
            return {id: (sha256, chunking) for id, sha256, chunking in rows}

    def document(self, document_id: str) -> Document | None:
        with self.reading():
            row = self._connection.execute(
                f"SELECT {DOCUMENT_FIELDS} FROM documents WHERE id = ?", (document_id,)
            ).fetchone()
        if row is None:
            return None
        id, title, text, path, sha256, metadata = row
        return Document(id, title, text, path, sha256, json.loads(metadata))

    def documents(self) -> list[DocumentEntry]:
        """What is in the store, without the texts."""
        with self.reading():
            return documents_of(self._connection)

    def spans(self, document_id: str) -> list[tuple[int, int]]:
        """Where the chunks of a document lie in its text."""
        with self.reading():
            return spans_of(self._connection, document_id)

    def count_chunks(self) -> int:
        with self.reading():
            return int(self._connection.execute("SELECT count(*) FROM chunks").fetchone()[0])

    def chunks(self, ids: Sequence[int]) -> dict[int, StoredChunk]:
        """The chunks with these ids."""
        select = (
            "SELECT c.id, d.id, position, start, end, c.title, c.text FROM chunks AS c "
            "JOIN documents AS d ON d.number = c.document WHERE c.id = ?"
        )
        with self.reading():
            rows = [self._connection.execute(select, (int(id),)).fetchone() for id in ids]
        return {row[0]: StoredChunk(*row) for row in rows if row}

    def document_ids(self, chunk_ids: Sequence[int]) -> list[str]:
        """The document of each of these chunks."""
        select = "SELECT d.id FROM chunks AS c JOIN documents AS d ON d.number = c.document WHERE c.id = ?"
        with self.reading():
            return [self._connection.execute(select, (int(id),)).fetchone()[0] for id in chunk_ids]

    def fields(self) -> dict[str, int]:
        """What a filter may name, with the number of documents that have it."""
        with self.reading():
            rows = self._connection.execute("SELECT field, count(DISTINCT document) FROM fields GROUP BY field")
            return dict(rows.fetchall())

    def vectors_of(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """The vectors, float32 [dimension], that the store has of these embedded texts; of new ones none."""
        with self.reading():
            rows = {
                text: self._connection.execute("SELECT vector FROM vectors WHERE sha256 = ?", (text_hash(text),))
                for text in dict.fromkeys(texts)
            }
            found = {text: row.fetchone() for text, row in rows.items()}
        return {text: np.frombuffer(row[0], VECTOR_TYPE).astype(np.float32) for text, row in found.items() if row}

    def candidates(
        self, queries: Sequence[str], vectors: np.ndarray, depth: int, where: Where | None = None
    ) -> list[Candidates]:
        """For every query (and its row of `vectors`) the union of the `depth` best by full text and by vectors among
        the chunks that `where` allows, with both scores. The filter comes first, the ranking behind it is exact.
        """
        with self.reading():
            stored, words = self._in_memory()
            allowed = allowed_documents(self._connection, where) if where else None
            return candidates(self._connection, stored, words, queries, vectors, depth, allowed)

    def matrix(self) -> tuple[np.ndarray, np.ndarray]:
        """Chunk ids int64 [n], ascending, and their vectors float32 [n, dimension]; kept until the store
        changes.
        """
        with self.reading():
            stored, _ = self._in_memory()
            return stored.ids, stored.matrix

    def problems(self) -> list[str]:
        """What is wrong with the file, [] when it is sound."""
        with self.reading():
            return problems_of(self._connection, int(self._meta("dimension") or 0))

    def statistics(self) -> StoreStatistics:
        with self.reading():
            return statistics_of(self._connection, self.path)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All reads inside see one state of the store."""
        with self._lock, named_errors(self.path):
            outermost = not self._connection.in_transaction
            try:
                if outermost:
                    self._connection.execute("BEGIN")
                yield
            finally:
                if outermost:
                    self._roll_back()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, named_errors(self.path):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._set_meta("generation", str(int(self._meta("generation") or 0) + 1))
                self._connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        """End the open transaction, if there is one; an interruption that falls here is waited out."""
        while self._connection.in_transaction:
            with suppress(sqlite3.OperationalError):
                self._connection.execute("ROLLBACK")

    def _empty_log(self) -> None:
        """A write-ahead log keeps old pages until it is emptied; without one this does nothing."""
        with self._lock, named_errors(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _in_memory(self) -> tuple[Vectors, WordScores]:
        """The derived arrays of the state that is being read."""
        generation = int(self._meta("generation") or 0)
        if self._derived is None or self._derived[0] != generation:
            before = self._derived[1] if self._derived else None
            vectors = Vectors.read(self._connection, int(self._meta("dimension") or 0), before)
            self._derived = (generation, vectors, WordScores(vectors.ids))
        return self._derived[1], self._derived[2]

    def _insert(self, item: Prepared) -> None:
        document = item.document
        number = self._connection.execute(
            f"INSERT INTO documents ({DOCUMENT_FIELDS}, chunking) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(document.id, document.title, document.text, document.path, document.sha256),
                *(_as_json(document.metadata), item.chunking),
            ),
        ).lastrowid
        self._connection.executemany(
            "INSERT INTO fields (field, value, document) VALUES (?, ?, ?)",
            [(field, key, number) for field, key in field_rows(document.metadata)],
        )
        for position, (chunk, vector) in enumerate(zip(item.chunks, item.vectors, strict=True)):
            half = vector.astype(VECTOR_TYPE).tobytes()
            id = self._connection.execute(
                "INSERT INTO chunks (document, position, start, end, vector, title, text) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(number, position, chunk.start, chunk.end),
                    *(keep_vector(self._connection, text_hash(chunk.embedded), half), chunk.title, chunk.text),
                ),
            ).lastrowid
            self._connection.execute(
                "INSERT INTO full_text (rowid, title, text) VALUES (?, ?, ?)", (id, chunk.title, chunk.text)
            )

    def _delete(self, document_id: str) -> set[int]:
        """The vectors that the document used."""
        row = self._connection.execute("SELECT number FROM documents WHERE id = ?", (document_id,)).fetchone()
        if row is None:
            return set()
        used = self._connection.execute("SELECT vector FROM chunks WHERE document = ?", row).fetchall()
        self._connection.execute(
            "INSERT INTO full_text (full_text, rowid, title, text) "
            "SELECT 'delete', id, title, text FROM chunks WHERE document = ?",
            row,
        )
        for statement in (
            "DELETE FROM chunks WHERE document = ?",
            "DELETE FROM fields WHERE document = ?",
            "DELETE FROM documents WHERE number = ?",
        ):
            self._connection.execute(statement, row)
        self._connection.executemany("UPDATE vectors SET uses = uses - 1 WHERE id = ?", used)
        return {id for (id,) in used}

    def _meta(self, key: str) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def _set_meta(self, key: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def _as_json(metadata: dict[str, Scalar]) -> str:
    return json.dumps(metadata, ensure_ascii=False, sort_keys=True)
