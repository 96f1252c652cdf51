"""Hybrid search over a knowledge store: full text and vectors, fused; exact, no approximate index."""

from collections.abc import Collection, Sequence

import numpy as np

from sartor.generation.protocol import Passage
from sartor.retrieval.fusion import Candidates, FusionChoice, choose_fusion
from sartor.retrieval.protocol import Store, TextEmbedder, Where
from sartor.retrieval.rerank import DEPTH, Reranker

CANDIDATES = 100
"""The best so many of either ranking are fused."""


def search(
    store: Store,
    embedder: TextEmbedder,
    queries: Sequence[str],
    k: int,
    dense_weight: float | None = None,
    where: Where | None = None,
) -> list[list[Passage]]:
    """For each query at most `k` passages of the documents that `where` allows, the best first; `score` is the fused
    one, in 0..1.

    `dense_weight` 0 is full text alone, 1 vectors alone, None what the store's ranking says. UsageError when the
    store was made with another embedder.
    """
    vectors = _query_vectors(store, embedder, queries)
    with store.reading():
        weight = store.ranking.dense_weight if dense_weight is None else dense_weight
        found = store.candidates(queries, vectors, max(CANDIDATES, k), where)
        return [_passages(store, candidates, k, weight) for candidates in found]


def tune_dense_weight(
    store: Store,
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
        found = store.candidates(questions, vectors, CANDIDATES)
        documents = [store.document_ids(candidates.ids.tolist()) for candidates in found]
    return choose_fusion(found, documents, evidence, k)


class StoreRetriever:
    """A store as a Retriever; `dense_weight` None ranks as the store says at the time of the question, with its
    reranker if it names one. With a weight it is `rerank` that reads the best passages again, if it is given.
    """

    def __init__(
        self, store: Store, embedder: TextEmbedder, dense_weight: float | None = None, rerank: str | None = None
    ):
        if dense_weight is None and rerank is not None:
            raise ValueError("a reranker reads what a weight ranks: give both, or neither")
        self.store, self.embedder, self.dense_weight, self.rerank = store, embedder, dense_weight, rerank
        self._reranker: Reranker | None = None

    def retrieve(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Passage]]:
        again = self.store.ranking.rerank if self.dense_weight is None else self.rerank
        if again is None:
            return search(self.store, self.embedder, queries, k, self.dense_weight, where)
        if self._reranker is None or self._reranker.name != again:
            self._reranker = Reranker.open(again)
        found = search(self.store, self.embedder, queries, max(k, DEPTH), self.dense_weight, where)
        return [self._reranker.rerank(query, passages, k) for query, passages in zip(queries, found, strict=True)]


def _query_vectors(store: Store, embedder: TextEmbedder, queries: Sequence[str]) -> np.ndarray:
    store.require_embedder(embedder)
    return embedder.embed_queries(queries)


def _passages(store: Store, candidates: Candidates, k: int, dense_weight: float) -> list[Passage]:
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
