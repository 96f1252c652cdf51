"""Bring a knowledge store up to date with a set of documents, embedding only what changed."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sartor.base.console import progress
from sartor.base.errors import DataError
from sartor.data.extract import Document
from sartor.data.parsers.formats import CODE
from sartor.retrieval.chunking import TARGET_TOKENS, VERSION, Chunk, chunk_text
from sartor.retrieval.protocol import Store, TextEmbedder
from sartor.retrieval.store import Prepared

CHUNKS_A_TRANSACTION = 64
"""Chunks embedded together and committed together: a killed run loses at most so much work (a few seconds).
"""


@dataclass(frozen=True)
class IndexReport:
    """Documents by what happened to them; `chunks` is the number of chunks now in the store, `embedded` that of the
    texts that had to be embedded for it.

    `without_text` names documents that gave no chunk and can therefore never be found.
    """

    added: int
    replaced: int
    removed: int
    unchanged: int
    chunks: int
    without_text: tuple[str, ...]
    embedded: int


def index_folder(
    store: Store,
    documents: Iterable[Document],
    embedder: TextEmbedder,
    target_tokens: int = TARGET_TOKENS,
    keep: Collection[str] = (),
    most_tokens: int | None = None,
) -> IndexReport:
    """Make the store hold exactly `documents`, and besides what it has of `keep`: add the new, replace the changed,
    remove the vanished. No chunk has more than `most_tokens`, or than the embedder takes.

    All documents are read before anything is changed, so a bad file changes nothing. A document is in the
    store whole or not at all, also when the run is killed; the next run goes on with what is missing. A chunk
    that stays word for word is not embedded again, also when its document is cut anew or moves.
    """
    store.require_embedder(embedder)
    wanted = _by_id(documents)
    stored = store.fingerprints()
    most = embedder.max_tokens if most_tokens is None else min(most_tokens, embedder.max_tokens)
    chunking = f"{VERSION}/{target_tokens}/{most}"
    changed = [document for document in wanted.values() if stored.get(document.id) != (document.sha256, chunking)]
    vanished = [document_id for document_id in stored if document_id not in wanted and document_id not in keep]
    without_text: list[str] = []
    embedded = 0
    with progress("indexing", sum(len(document.text) for document in changed)) as bar:
        for batch in _batches(changed, embedder, target_tokens, most):
            prepared, new = _embed(batch, store, embedder, chunking)
            store.write(prepared, embedder)
            embedded += new
            without_text += [document.id for document, chunks in batch if not chunks]
            bar.advance(sum(len(document.text) for document, _ in batch), note=batch[-1][0].id)
    if vanished:  # last, so that the vectors of a document that moved are still there
        store.remove(vanished)
    replaced = sum(document.id in stored for document in changed)
    return IndexReport(
        len(changed) - replaced,
        replaced,
        len(vanished),
        len(wanted) - len(changed),
        store.count_chunks(),
        tuple(without_text),
        embedded,
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


def _batches(
    documents: Sequence[Document], embedder: TextEmbedder, target_tokens: int, most_tokens: int
) -> Iterator[list[Cut]]:
    """Documents with their chunks, whole ones, about CHUNKS_A_TRANSACTION chunks at a time."""
    batch: list[Cut] = []
    for document in documents:
        batch.append((document, cut(document, embedder, target_tokens, most_tokens)))
        if sum(len(chunks) for _, chunks in batch) >= CHUNKS_A_TRANSACTION:
            yield batch
            batch = []
    if batch:
        yield batch


def cut(document: Document, embedder: TextEmbedder, target_tokens: int, most_tokens: int) -> list[Chunk]:
    """The chunks of a document as they are in a store that was indexed with these sizes."""
    is_code = document.metadata.get("type") == CODE
    most = min(most_tokens, embedder.max_tokens)
    return chunk_text(document.text, document.title, embedder.count_tokens, target_tokens, most, is_code)


def _embed(batch: Sequence[Cut], store: Store, embedder: TextEmbedder, chunking: str) -> tuple[list[Prepared], int]:
    """The documents with their vectors, and how many texts were embedded: each new one once."""
    texts = [chunk.embedded for _, chunks in batch for chunk in chunks]
    vectors = store.vectors_of(texts)
    new = [text for text in dict.fromkeys(texts) if text not in vectors]
    if new:
        vectors |= dict(zip(new, embedder.embed(new), strict=True))
    prepared = []
    for document, chunks in batch:
        rows = np.zeros((len(chunks), embedder.dimension), dtype=np.float32)
        for row, chunk in enumerate(chunks):
            rows[row] = vectors[chunk.embedded]
        prepared.append(Prepared(document, chunks, rows, chunking))
    return prepared, len(new)
