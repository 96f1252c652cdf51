"""What a person wants to see of a knowledge file: its documents, and where each was cut."""

import json
import sqlite3
from dataclasses import dataclass

from sartor.data.extract import Scalar


@dataclass(frozen=True)
class DocumentEntry:
    """A document in a list, without its text."""

    id: str
    title: str
    path: str
    characters: int
    chunks: int
    metadata: dict[str, Scalar]


def documents_of(connection: sqlite3.Connection) -> list[DocumentEntry]:
    """All documents, by their id."""
    rows = connection.execute(
        "SELECT id, title, path, length(text), (SELECT count(*) FROM chunks WHERE document = number), metadata "
        "FROM documents ORDER BY id"
    )
    return [
        DocumentEntry(id, title, path, characters, chunks, json.loads(metadata))
        for id, title, path, characters, chunks, metadata in rows
    ]


def spans_of(connection: sqlite3.Connection, document_id: str) -> list[tuple[int, int]]:
    """(start, end) of the document's chunks in its text, in order; [] for an unknown one."""
    return connection.execute(
        "SELECT start, end FROM chunks JOIN documents ON number = document WHERE documents.id = ? ORDER BY position",
        (document_id,),
    ).fetchall()
