"""Hybrid search over a knowledge store: full text and vectors, fused; exact, no approximate index."""

from collections.abc import Collection, Sequence

import numpy as np

from sartor.generation.protocol import Passage
from sartor.retrieval.fusion import DEFAULT_DENSE_WEIGHT, Candidates, FusionChoice, choose_fusion
from sartor.retrieval.protocol import TextEmbedder
from sartor.retrieval.query import full_text_expression
from sartor.retrieval.store import KnowledgeStore

CANDIDATES = 100
"""The best so many of either ranking are fused; a chunk beyond the full-text ones counts as not matching."""

SCORES_AT_A_TIME = 10_000_000
"""Queries are compared with all chunks in blocks of so many scores (40 MB)."""


def search(
    store: KnowledgeStore,
    embedder: TextEmbedder,
    queries: Sequence[str],
    k: int,
    dense_weight: float = DEFAULT_DENSE_WEIGHT,
) -> list[list[Passage]]:
    """For each query at most `k` passages, the best first; `score` is the fused one, in 0..1.

    `dense_weight` 0 is full text alone, 1 vectors alone. UsageError when the store was made with another
    embedder.
    """
    vectors = _query_vectors(store, embedder, queries)
    with store.reading():
        found = _candidates(store, queries, vectors, max(CANDIDATES, k))
        return [_passages(store, candidates, k, dense_weight) for candidates in found]


def tune_dense_weight(
    store: KnowledgeStore,
    embedder: TextEmbedder,
    questions: Sequence[str],
    evidence: Sequence[Collection[str]],
    k: int,
) -> FusionChoice:
    """`choose_fusion` on this store: `evidence` names for each question the documents that hold its answer,
    if known.
    """
    vectors = _query_vectors(store, embedder, questions)
    with store.reading():
        found = _candidates(store, questions, vectors, CANDIDATES)
        documents = [store.document_ids(candidates.ids.tolist()) for candidates in found]
    return choose_fusion(found, documents, evidence, k)


class StoreRetriever:
    """A store as a Retriever."""

    def __init__(self, store: KnowledgeStore, embedder: TextEmbedder, dense_weight: float = DEFAULT_DENSE_WEIGHT):
        self.store, self.embedder, self.dense_weight = store, embedder, dense_weight

    def retrieve(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        return search(self.store, self.embedder, queries, k, self.dense_weight)


def _query_vectors(store: KnowledgeStore, embedder: TextEmbedder, queries: Sequence[str]) -> np.ndarray:
    store.require_embedder(embedder)
    return embedder.embed(queries)


def _candidates(store: KnowledgeStore, queries: Sequence[str], vectors: np.ndarray, depth: int) -> list[Candidates]:
    """For every query the union of the `depth` best by full text and by vectors, with both scores."""
    ids, matrix = store.matrix()
    if not len(ids):
        empty = Candidates(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))
        return [empty] * len(queries)
    found = []
    block = max(1, SCORES_AT_A_TIME // len(ids))
    for first in range(0, len(queries), block):
        cosines = vectors[first : first + block] @ matrix.T  # [queries, chunks]
        for query, cosine in zip(queries[first : first + block], cosines, strict=True):
            found.append(_merge(store, query, ids, cosine, depth))
    return found


def _merge(store: KnowledgeStore, query: str, ids: np.ndarray, cosine: np.ndarray, depth: int) -> Candidates:
    expression = full_text_expression(query)
    matches = dict(store.match(expression, depth)) if expression else {}
    nearest = np.argpartition(-cosine, depth)[:depth] if depth < len(ids) else np.arange(len(ids))
    chosen = np.union1d(nearest, np.searchsorted(ids, np.array(list(matches), dtype=np.int64)))
    lexical = np.array([matches.get(id, 0.0) for id in ids[chosen].tolist()])
    return Candidates(ids[chosen], lexical, cosine[chosen])


def _passages(store: KnowledgeStore, candidates: Candidates, k: int, dense_weight: float) -> list[Passage]:
    order, scores = candidates.ranked(dense_weight)
    best = order[:k]
    chunks = store.chunks(candidates.ids[best].tolist())
    passages = []
    for index in best:
        chunk = chunks[int(candidates.ids[index])]
        passages.append(
            Passage(
                chunk_id=f"{chunk.document_id}#{chunk.position}",
                document_id=chunk.document_id,
                text=chunk.text,
                score=float(scores[index]),
                start=chunk.start,
                end=chunk.end,
                title=chunk.title,
            )
        )
    return passages
