"""Bring a knowledge store up to date with a set of documents, embedding only what changed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sartor.base.console import progress
from sartor.base.errors import DataError
from sartor.data.extract import Document
from sartor.retrieval.chunking import TARGET_TOKENS, VERSION, Chunk, chunk_text
from sartor.retrieval.protocol import TextEmbedder
from sartor.retrieval.store import KnowledgeStore, Prepared

CHUNKS_A_TRANSACTION = 64
"""Chunks embedded together and committed together: a killed run loses at most so much work (a few seconds).
"""


@dataclass(frozen=True)
class IndexReport:
    """Documents by what happened to them; `chunks` is the number of chunks now in the store.

    `without_text` names documents that gave no chunk and can therefore never be found.
    """

    added: int
    replaced: int
    removed: int
    unchanged: int
    chunks: int
    without_text: tuple[str, ...]


def index_folder(
    store: KnowledgeStore,
    documents: Iterable[Document],
    embedder: TextEmbedder,
    target_tokens: int = TARGET_TOKENS,
) -> IndexReport:
    """Make the store hold exactly `documents`: add the new, replace the changed, remove the vanished.

    All documents are read before anything is changed, so a bad file changes nothing. A document is in the
    store whole or not at all, also when the run is killed; the next run goes on with what is missing.
    """
    store.require_embedder(embedder)
    wanted = _by_id(documents)
    stored = store.fingerprints()
    chunking = f"{VERSION}/{target_tokens}/{embedder.max_tokens}"
    changed = [document for document in wanted.values() if stored.get(document.id) != (document.sha256, chunking)]
    vanished = [document_id for document_id in stored if document_id not in wanted]
    if vanished:
        store.remove(vanished)
    without_text: list[str] = []
    with progress("indexing", sum(len(document.text) for document in changed)) as bar:
        for batch in _batches(changed, embedder, target_tokens):
            store.write(_embed(batch, embedder, chunking), embedder)
            without_text += [document.id for document, chunks in batch if not chunks]
            bar.advance(sum(len(document.text) for document, _ in batch), note=batch[-1][0].id)
    replaced = sum(document.id in stored for document in changed)
    return IndexReport(
        len(changed) - replaced,
        replaced,
        len(vanished),
        len(wanted) - len(changed),
        store.count_chunks(),
        tuple(without_text),
    )


def _by_id(documents: Iterable[Document]) -> dict[str, Document]:
    wanted: dict[str, Document] = {}
    for document in documents:
        if document.id in wanted:
            raise DataError(
                f"the document id {document.id!r} is used twice", where=document.path, hint="make the ids unique"
            )
        wanted[document.id] = document
    return wanted


Cut = tuple[Document, list[Chunk]]


def _batches(documents: Sequence[Document], embedder: TextEmbedder, target_tokens: int) -> Iterator[list[Cut]]:
    """Documents with their chunks, whole ones, about CHUNKS_A_TRANSACTION chunks at a time."""
    batch: list[Cut] = []
    for document in documents:
        batch.append(
            (
                document,
                chunk_text(document.text, document.title, embedder.count_tokens, target_tokens, embedder.max_tokens),
            )
        )
        if sum(len(chunks) for _, chunks in batch) >= CHUNKS_A_TRANSACTION:
            yield batch
            batch = []
    if batch:
        yield batch


def _embed(batch: Sequence[Cut], embedder: TextEmbedder, chunking: str) -> list[Prepared]:
    vectors = embedder.embed([chunk.embedded for _, chunks in batch for chunk in chunks])
    prepared, done = [], 0
    for document, chunks in batch:
        prepared.append(Prepared(document, chunks, vectors[done : done + len(chunks)], chunking))
        done += len(chunks)
    return prepared
