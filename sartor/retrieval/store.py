"""The knowledge store: one SQLite file with documents, chunks, full text and vectors, changed in whole
transactions.

What a search needs beside it (the matrix of vectors in memory) is derived and thrown away when the file
changes.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sartor.base.errors import UsageError
from sartor.data.extract import Document
from sartor.retrieval.chunking import Chunk
from sartor.retrieval.database import named_errors, open_database
from sartor.retrieval.protocol import TextEmbedder

APPLICATION_ID = 0x53415254  # "SART"
SCHEMA_VERSION = 1
SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE documents (
        id TEXT PRIMARY KEY, title TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL,
        chunking TEXT NOT NULL, text TEXT NOT NULL
    )""",
    """CREATE TABLE chunks (
        id INTEGER PRIMARY KEY, document_id TEXT NOT NULL REFERENCES documents (id),
        position INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
        title TEXT NOT NULL, text TEXT NOT NULL,
        UNIQUE (document_id, position)
    )""",
    "CREATE TABLE vectors (chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id), vector BLOB NOT NULL)",
    """CREATE VIRTUAL TABLE full_text USING fts5 (
        title, text, content='chunks', content_rowid='id', tokenize='porter unicode61'
    )""",
)


@dataclass(frozen=True)
class Prepared:
    """A document ready to be written: `vectors` is float32 [len(chunks), dimension]; `chunking` says how it
    was cut.
    """

    document: Document
    chunks: Sequence[Chunk]
    vectors: np.ndarray
    chunking: str


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


class KnowledgeStore:
    """One store file; usable from several threads and next to other processes.

    Reads see the last committed state; a write is whole and durable when it returns, or it never was.
    """

    def __init__(self, path: Path, create: bool = False):
        """Open `path`; with `create` a missing file is made.

        UsageError when it is missing, DataError when it is damaged or not a knowledge store.
        """
        if not create and not path.is_file():
            raise UsageError("there is no knowledge store here", where=str(path), hint="make one with sartor index")
        self.path = path
        self._lock = threading.RLock()
        self._matrix: tuple[int, np.ndarray, np.ndarray] | None = None
        self._connection = open_database(path, SCHEMA, APPLICATION_ID, SCHEMA_VERSION)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "KnowledgeStore":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def require_embedder(self, embedder: TextEmbedder) -> None:
        """UsageError when the store was made with another embedder: their vectors cannot be compared."""
        stored = self._meta("embedder")
        if stored and stored != embedder.name:
            raise UsageError(
                f"this store was made with another embedding model ({stored}, not {embedder.name})",
                where=str(self.path),
                hint="use the embedding model it was made with, or index the documents into a new file",
            )

    def write(self, prepared: Sequence[Prepared], embedder: TextEmbedder) -> None:
        """Add or replace documents, all of them in one transaction."""
        for item in prepared:
            if item.vectors.shape != (len(item.chunks), embedder.dimension) or not np.isfinite(item.vectors).all():
                raise ValueError(f"{item.document.id}: vectors must be finite and [chunks, {embedder.dimension}]")
        with self._writing():
            self.require_embedder(embedder)
            self._set_meta("embedder", embedder.name)
            self._set_meta("dimension", str(embedder.dimension))
            for item in prepared:
                self._delete(item.document.id)
                self._insert(item)

    def remove(self, document_ids: Sequence[str]) -> None:
        """Remove documents and all that was made of them, in one transaction; unknown ids are no error."""
        with self._writing():
            for document_id in document_ids:
                self._delete(document_id)

    def fingerprints(self) -> dict[str, tuple[str, str]]:
        """For every document id its hash and how it was cut."""
        with self.reading():
            rows = self._connection.execute("SELECT id, sha256, chunking FROM documents ORDER BY id")
            return {id: (sha256, chunking) for id, sha256, chunking in rows}

    def document(self, document_id: str) -> Document | None:
        with self.reading():
            row = self._connection.execute(
                "SELECT id, title, text, path, sha256 FROM documents WHERE id = ?", (document_id,)
            ).fetchone()
        return Document(*row) if row else None

    def count_chunks(self) -> int:
        with self.reading():
            return int(self._connection.execute("SELECT count(*) FROM chunks").fetchone()[0])

    def chunks(self, ids: Sequence[int]) -> dict[int, StoredChunk]:
        """The chunks with these ids."""
        select = "SELECT id, document_id, position, start, end, title, text FROM chunks WHERE id = ?"
        with self.reading():
            rows = [self._connection.execute(select, (int(id),)).fetchone() for id in ids]
        return {row[0]: StoredChunk(*row) for row in rows if row}

    def document_ids(self, chunk_ids: Sequence[int]) -> list[str]:
        """The document of each of these chunks."""
        select = "SELECT document_id FROM chunks WHERE id = ?"
        with self.reading():
            return [self._connection.execute(select, (int(id),)).fetchone()[0] for id in chunk_ids]

    def match(self, expression: str, limit: int) -> list[tuple[int, float]]:
        """Chunk ids and BM25 scores (k1 1.2, b .75; higher is better) for an FTS5 expression, best first."""
        with self.reading():
            rows = self._connection.execute(
                "SELECT rowid, -rank FROM full_text WHERE full_text MATCH ? ORDER BY rank, rowid LIMIT ?",
                (expression, limit),
            ).fetchall()
        return [(int(id), float(score)) for id, score in rows]

    def matrix(self) -> tuple[np.ndarray, np.ndarray]:
        """Chunk ids int64 [n], ascending, and their vectors float32 [n, dimension]; kept until the store
        changes.
        """
        with self.reading():
            generation = int(self._meta("generation") or 0)
            if self._matrix is None or self._matrix[0] != generation:
                rows = self._connection.execute("SELECT chunk_id, vector FROM vectors ORDER BY chunk_id").fetchall()
                ids = np.array([id for id, _ in rows], dtype=np.int64)
                vectors = np.frombuffer(b"".join(vector for _, vector in rows), dtype="<f4")
                self._matrix = (generation, ids, vectors.reshape(len(ids), int(self._meta("dimension") or 0)))
            return self._matrix[1], self._matrix[2]

    def problems(self) -> list[str]:
        """What is wrong with the file, [] when it is sound: pages, the full text against the chunks, missing
        vectors.
        """
        found: list[str] = []
        with self.reading():
            found += [row[0] for row in self._connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            found += [
                f"{row[0]} refers to a missing {row[2]}" for row in self._connection.execute("PRAGMA foreign_key_check")
            ]
            try:
                self._connection.execute("INSERT INTO full_text (full_text, rank) VALUES ('integrity-check', 1)")
            except sqlite3.DatabaseError as error:
                found.append(f"full text: {error}")
            size = 4 * int(self._meta("dimension") or 0)
            bad = self._connection.execute(
                "SELECT count(*) FROM chunks LEFT JOIN vectors ON chunk_id = id "
                "WHERE vector IS NULL OR length(vector) != ?",
                (size,),
            ).fetchone()[0]
            found += [f"{bad} chunks without a vector of {size} bytes"] if bad else []
        return found

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All reads inside see one state of the store."""
        with self._lock, named_errors(self.path):
            outermost = not self._connection.in_transaction
            if outermost:
                self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if outermost and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, named_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._set_meta("generation", str(int(self._meta("generation") or 0) + 1))
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _insert(self, item: Prepared) -> None:
        document = item.document
        self._connection.execute(
            "INSERT INTO documents (id, title, path, sha256, chunking, text) VALUES (?, ?, ?, ?, ?, ?)",
            (document.id, document.title, document.path, document.sha256, item.chunking, document.text),
        )
        for position, (chunk, vector) in enumerate(zip(item.chunks, item.vectors, strict=True)):
            id = self._connection.execute(
                "INSERT INTO chunks (document_id, position, start, end, title, text) VALUES (?, ?, ?, ?, ?, ?)",
                (document.id, position, chunk.start, chunk.end, chunk.title, chunk.text),
            ).lastrowid
            self._connection.execute(
                "INSERT INTO full_text (rowid, title, text) VALUES (?, ?, ?)", (id, chunk.title, chunk.text)
            )
            self._connection.execute("INSERT INTO vectors VALUES (?, ?)", (id, vector.astype("<f4").tobytes()))

    def _delete(self, document_id: str) -> None:
        chosen = "SELECT id FROM chunks WHERE document_id = ?"
        for statement in (
            "INSERT INTO full_text (full_text, rowid, title, text) "
            "SELECT 'delete', id, title, text FROM chunks WHERE document_id = ?",
            f"DELETE FROM vectors WHERE chunk_id IN ({chosen})",
            "DELETE FROM chunks WHERE document_id = ?",
            "DELETE FROM documents WHERE id = ?",
        ):
            self._connection.execute(statement, (document_id,))

    def _meta(self, key: str) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def _set_meta(self, key: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
