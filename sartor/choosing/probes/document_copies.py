"""A path that reads a copy of its documents, in which facts are changed and documents deleted; the path's own files
stay as they are."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

from sartor.base.durable import replace_file
from sartor.choosing.probes.probed_path import ProbedPath, ask
from sartor.data.extract import Document
from sartor.data.records import Row
from sartor.generation.protocol import Reply
from sartor.retrieval.chunking import MAX_TOKENS, TARGET_TOKENS
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.opening import place
from sartor.retrieval.whole_documents import documents_text


class DocumentCopy(Protocol):
    """What the probes do with documents; each change is there for the next question."""

    def write(self, document: Document) -> None:
        """Add the document, or put it in the place of the one with its id."""
        ...

    def remove(self, document_id: str) -> None: ...

    def ask(self, rows: Sequence[Row]) -> list[Reply]: ...

    def close(self) -> None: ...


def copy_of_documents(path: ProbedPath, scratch: Path, documents: Mapping[str, Document]) -> DocumentCopy:
    """A copy in the folder `scratch` for a path that reads documents; `documents` are all of them."""
    if path.config.knowledge is not None:
        return KnowledgeCopy(path, scratch / "knowledge.sqlite")
    return PromptCopy(path, scratch / "documents.txt", documents)


class KnowledgeCopy:
    """A copy of the knowledge file; of a changed document only what differs is cut and embedded."""

    def __init__(self, path: ProbedPath, file: Path):
        knowledge = path.config.knowledge
        assert knowledge is not None
        _copy_database(Path(place(knowledge.file, path.folder)), file)
        self._opened = path.reading(knowledge=knowledge.model_copy(update={"file": str(file.absolute())}))
        assert self._opened.retriever is not None
        self._store, self._embedder = self._opened.retriever.store, self._opened.retriever.embedder
        self._sizes = _chunk_sizes([chunking for _, chunking in self._store.fingerprints().values()])

    def write(self, document: Document) -> None:
        kept = self._store.fingerprints().keys()
        target, most = self._sizes
        index_folder(self._store, [document], self._embedder, target, keep=kept, most_tokens=most)

    def remove(self, document_id: str) -> None:
        self._store.remove([document_id])

    def ask(self, rows: Sequence[Row]) -> list[Reply]:
        return ask(self._opened, rows)

    def close(self) -> None:
        self._store.close()


def _copy_database(source: Path, target: Path) -> None:
    """A whole copy of a SQLite file as it is committed, also while it is open elsewhere."""
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)


def _chunk_sizes(chunkings: Sequence[str]) -> tuple[int, int]:
    """How long the store's passages were to be, and may be at most (`indexing.index_folder` writes it into each
    document's fingerprint): a changed document must be cut as the others were."""
    if not chunkings:
        return TARGET_TOKENS, MAX_TOKENS
    _, target, most = chunkings[0].split("/")
    return int(target), int(most)


class PromptCopy:
    """The text of all documents that stands in the prompt, written anew with each change."""

    def __init__(self, path: ProbedPath, file: Path, documents: Mapping[str, Document]):
        self._path, self._file, self._documents = path, file, dict(documents)
        self._write()

    def _write(self) -> None:
        replace_file(self._file, documents_text(self._documents.values()))
        self._opened = self._path.reading(documents=str(self._file.absolute()))

    def write(self, document: Document) -> None:
        self._documents[document.id] = document
        self._write()

    def remove(self, document_id: str) -> None:
        del self._documents[document_id]
        self._write()

    def ask(self, rows: Sequence[Row]) -> list[Reply]:
        return ask(self._opened, rows)

    def close(self) -> None:
        """Nothing is open."""
