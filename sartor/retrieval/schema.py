"""The tables of a knowledge file, and how a file of an earlier version becomes one of this.

Version 1 kept 4-byte vectors, one a chunk, and no metadata.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping

import numpy as np

from sartor.retrieval.chunking import titled

APPLICATION_ID = 0x53415254  # "SART"
SCHEMA_VERSION = 2
VECTOR_TYPE = np.dtype("<f2")
"""2 bytes a number: the cosine of unit vectors is off by at most .0002, the file is half as large."""

SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE documents (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, path TEXT NOT NULL,
        sha256 TEXT NOT NULL, chunking TEXT NOT NULL, metadata TEXT NOT NULL, text TEXT NOT NULL
    )""",
    """CREATE TABLE fields (
        field TEXT NOT NULL, value TEXT NOT NULL, document INTEGER NOT NULL REFERENCES documents (number),
        PRIMARY KEY (field, value, document)
    ) WITHOUT ROWID""",
    "CREATE INDEX fields_of_document ON fields (document)",
    """CREATE TABLE vectors (
        id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 BLOB NOT NULL UNIQUE, uses INTEGER NOT NULL, vector BLOB NOT NULL
    )""",
    "CREATE INDEX vectors_without_use ON vectors (id) WHERE uses = 0",
    """CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents (number),
        position INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
        vector INTEGER NOT NULL REFERENCES vectors (id), title TEXT NOT NULL, text TEXT NOT NULL,
        UNIQUE (document, position)
    )""",
    "CREATE INDEX chunks_by_vector ON chunks (vector, document)",
    """CREATE VIRTUAL TABLE full_text USING fts5 (
        title, text, content='chunks', content_rowid='id', tokenize='porter unicode61'
    )""",
)
"""Numbers are never given twice (AUTOINCREMENT), so that what memory holds of a chunk stays true while it exists."""


def text_hash(embedded: str) -> bytes:
    """Under which the vector of an embedded text is kept."""
    return hashlib.sha256(embedded.encode()).digest()


def _from_version_1(connection: sqlite3.Connection) -> None:
    old = ("documents", "chunks", "vectors")
    connection.execute("DROP TABLE full_text")
    for table in old:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in SCHEMA[1:]:
        connection.execute(statement)
    connection.execute(
        "INSERT INTO documents (id, title, path, sha256, chunking, metadata, text) "
        "SELECT id, title, path, sha256, chunking, ?, text FROM old_documents ORDER BY id",
        (json.dumps({}),),
    )
    rows = connection.execute(
        "SELECT c.id, d.number, c.position, c.start, c.end, c.title, c.text, v.vector FROM old_chunks AS c "
        "JOIN documents AS d ON d.id = c.document_id JOIN old_vectors AS v ON v.chunk_id = c.id ORDER BY c.id"
    )
    for id, document, position, start, end, title, text, vector in rows:
        half = np.frombuffer(vector, dtype="<f4").astype(VECTOR_TYPE).tobytes()
        vector_id = keep_vector(connection, text_hash(titled(title, text)), half)
        connection.execute(
            "INSERT INTO chunks (id, document, position, start, end, vector, title, text) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (id, document, position, start, end, vector_id, title, text),
        )
    for table in reversed(old):
        connection.execute(f"DROP TABLE old_{table}")
    connection.execute("INSERT INTO full_text (full_text) VALUES ('rebuild')")


UPGRADES: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _from_version_1}
"""For every earlier version what makes it the next, inside one transaction."""


def keep_vector(connection: sqlite3.Connection, sha256: bytes, vector: bytes) -> int:
    """The id of the vector with this hash, used once more; written if it is new."""
    connection.execute(
        "INSERT INTO vectors (sha256, uses, vector) VALUES (?, 1, ?) "
        "ON CONFLICT (sha256) DO UPDATE SET uses = uses + 1",
        (sha256, vector),
    )
    return int(connection.execute("SELECT id FROM vectors WHERE sha256 = ?", (sha256,)).fetchone()[0])
