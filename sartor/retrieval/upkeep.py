"""What is in a knowledge file, and whether it is sound."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sartor.retrieval.schema import VECTOR_TYPE


@dataclass(frozen=True)
class StoreStatistics:
    """`live_bytes` is what a person would miss: texts in UTF-8, and 2 bytes a number of every vector in use.

    Equal chunks share a vector; `spare_vectors` are of texts that were replaced and may come back.
    """

    documents: int
    chunks: int
    vectors: int
    spare_vectors: int
    live_bytes: int
    file_bytes: int
    generation: int
    embedder: str


def statistics_of(connection: sqlite3.Connection, path: Path) -> StoreStatistics:
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())

    def one(query: str) -> int:
        return int(connection.execute(query).fetchone()[0] or 0)

    vectors = one("SELECT count(*) FROM vectors WHERE uses > 0")
    text_bytes = one("SELECT sum(length(CAST(text AS BLOB)) + length(CAST(metadata AS BLOB))) FROM documents")
    return StoreStatistics(
        documents=one("SELECT count(*) FROM documents"),
        chunks=one("SELECT count(*) FROM chunks"),
        vectors=vectors,
        spare_vectors=one("SELECT count(*) FROM vectors WHERE uses = 0"),
        live_bytes=text_bytes + vectors * VECTOR_TYPE.itemsize * int(meta.get("dimension", 0)),
        file_bytes=path.stat().st_size,
        generation=int(meta.get("generation", 0)),
        embedder=meta.get("embedder", ""),
    )


def problems_of(connection: sqlite3.Connection, dimension: int) -> list[str]:
    """Pages, references, the full text against the chunks, the chunks against their documents, vectors and their
    counts, filters; [] when all is sound.
    """
    return list(_problems(connection, dimension))


def _problems(connection: sqlite3.Connection, dimension: int) -> Iterator[str]:
    yield from (row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok")
    for row in connection.execute("PRAGMA foreign_key_check"):
        yield f"{row[0]} refers to a missing {row[2]}"
    try:
        connection.execute("INSERT INTO full_text (full_text, rank) VALUES ('integrity-check', 1)")
    except sqlite3.DatabaseError as error:
        yield f"full text: {error}"
    misplaced = 0
    for number, text in connection.execute("SELECT number, text FROM documents"):
        places = connection.execute("SELECT start, end, text FROM chunks WHERE document = ?", (number,))
        misplaced += sum(text[start:end] != chunk for start, end, chunk in places)
    if misplaced:
        yield f"{misplaced} chunks that are not what their document says there"
    for what, query in CHECKS.items():
        bad = connection.execute(query, {"size": VECTOR_TYPE.itemsize * dimension}).fetchone()[0]
        if bad:
            yield f"{bad} {what}"


CHECKS = {
    "chunks without a vector of the right size": (
        "SELECT count(*) FROM chunks LEFT JOIN vectors ON vectors.id = chunks.vector "
        "WHERE vectors.vector IS NULL OR length(vectors.vector) != :size"
    ),
    "vectors with a wrong count of their chunks": (
        "SELECT count(*) FROM vectors WHERE uses != (SELECT count(*) FROM chunks WHERE chunks.vector = vectors.id)"
    ),
    "fields of metadata that filters do not know or should not": (
        "SELECT count(*) FROM documents WHERE json_valid(metadata) AND "
        "(SELECT count(*) FROM fields WHERE document = number) != (SELECT count(*) FROM json_each(metadata))"
    ),
}
