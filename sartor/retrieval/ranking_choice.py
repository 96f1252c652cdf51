"""How a store should rank, chosen on questions whose evidence is known: full text, vectors, both, or read again."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sartor.data.ranking_measures import recall, reciprocal_rank
from sartor.generation.protocol import Passage
from sartor.retrieval.fusion import Ranking
from sartor.retrieval.protocol import Store, TextEmbedder
from sartor.retrieval.rerank import DEPTH, Reranker
from sartor.retrieval.search import search, tune_dense_weight


@dataclass(frozen=True)
class RankingChoice:
    """The ranking, and (recall@k, MRR@10) over the `questions` of everything tried, by its name."""

    ranking: Ranking
    questions: int
    tried: dict[str, tuple[float, float]]


def choose_ranking(
    store: Store,
    embedder: TextEmbedder,
    questions: Sequence[str],
    evidence: Sequence[Collection[str]],
    k: int,
    reranker: Reranker | None = None,
) -> RankingChoice:
    """bm25, dense and every fusion of the two are tried, and behind the best of them the reranker where one is given.

    A question's score is the mean of recall@k and reciprocal rank, as in `choose_fusion`. Reading again must gain more
    than one standard error (paired) over not doing it, for every question pays for it. Without evidence nothing is
    tried and the store's own ranking stays.
    """
    fusion = tune_dense_weight(store, embedder, questions, evidence, k)
    if not fusion.questions:
        return RankingChoice(store.ranking, 0, {})
    tried = {_name(weight): measured for weight, measured in fusion.tried.items()}
    ranking = Ranking.of_weight(fusion.dense_weight)
    if reranker is not None:
        known = [index for index, ids in enumerate(evidence) if ids]
        found = search(store, embedder, [questions[index] for index in known], DEPTH, ranking.dense_weight)
        before = np.array([_measure(passages, evidence[i], k) for passages, i in zip(found, known, strict=True)])
        again = [reranker.rerank(questions[i], passages, DEPTH) for passages, i in zip(found, known, strict=True)]
        after = np.array([_measure(passages, evidence[i], k) for passages, i in zip(again, known, strict=True)])
        tried[f"{_name(ranking.dense_weight)}, read again by {reranker.name}"] = (
            float(after[:, 0].mean()),
            float(after[:, 1].mean()),
        )
        if gains(after.mean(axis=1) - before.mean(axis=1)):
            ranking = replace(ranking, rerank=reranker.name)
    return RankingChoice(ranking, fusion.questions, tried)


def _name(dense_weight: float) -> str:
    ranking = Ranking.of_weight(dense_weight)
    return f"fused {dense_weight:g}" if ranking.mode == "fused" else ranking.mode


def _measure(passages: Sequence[Passage], evidence: Collection[str], k: int) -> tuple[float, float]:
    ids = [passage.document_id for passage in passages]
    return recall(ids, evidence, k), reciprocal_rank(ids, evidence)


def gains(gained: np.ndarray) -> bool:
    """Whether a mean gain (one a question, paired) is more than one standard error."""
    error = float(gained.std(ddof=1)) / len(gained) ** 0.5 if len(gained) > 1 else float("inf")
    return float(gained.mean()) > error
