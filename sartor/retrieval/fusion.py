"""One ranking from two: a convex combination of full-text and vector scores, its weight chosen on questions
with answers.

Source: Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (2210.11934): each score is
scaled from its theoretical minimum (0 for BM25, -1 for the cosine) to the query's maximum, and one weight is
tuned; a few dozen questions suffice, and it beats reciprocal rank fusion.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from sartor.data.ranking_measures import recall, reciprocal_rank

DEFAULT_DENSE_WEIGHT = 0.7
GRID = tuple(step / 10 for step in range(11))


MODES = ("bm25", "dense", "fused")


@dataclass(frozen=True)
class Ranking:
    """How a store's search ranks, as its `meta` keeps it.

    `mode` is full text alone, vectors alone or both fused with `dense_weight` (which is 0 and 1 for the single
    rankings); `rerank` names a cross-encoder (a folder or a Hub id) that reads the best passages again, if any.
    """

    mode: str = "fused"
    dense_weight: float = DEFAULT_DENSE_WEIGHT
    rerank: str | None = None

    def __post_init__(self) -> None:
        """ValueError for an unknown mode, and for a weight that contradicts it."""
        fits = {"bm25": self.dense_weight == 0, "dense": self.dense_weight == 1, "fused": 0 <= self.dense_weight <= 1}
        if self.mode not in MODES or not fits[self.mode]:
            raise ValueError(f"no such ranking: {self.mode} with dense weight {self.dense_weight:g}")

    @staticmethod
    def of_weight(dense_weight: float) -> "Ranking":
        """The ranking that a weight alone stands for: 0 is bm25, 1 is dense."""
        return Ranking({0.0: "bm25", 1.0: "dense"}.get(dense_weight, "fused"), dense_weight)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Ranking":
        """ValueError or TypeError for what `to_json` never wrote."""
        return Ranking(**json.loads(text))


@dataclass(frozen=True)
class Candidates:
    """The chunks that may answer one query, all [n]: ids int64, BM25 (0 where no term was found), cosine."""

    ids: np.ndarray
    lexical: np.ndarray
    dense: np.ndarray

    def fused(self, dense_weight: float) -> np.ndarray:
        """float64 [n] in 0..1: `(1 - dense_weight)` parts full text and `dense_weight` parts vectors."""
        return (1 - dense_weight) * scaled(self.lexical, 0.0) + dense_weight * scaled(self.dense, -1.0)

    def ranked(self, dense_weight: float) -> tuple[np.ndarray, np.ndarray]:
        """Indices into the candidates, best first (ties by id), and all fused scores."""
        scores = self.fused(dense_weight)
        return np.lexsort((self.ids, -scores)), scores


def scaled(scores: np.ndarray, minimum: float) -> np.ndarray:
    """`minimum` to 0 and the highest score to 1 (all 0 when nothing is above the minimum)."""
    top = float(scores.max(initial=minimum))
    if top <= minimum:
        return np.zeros(len(scores))
    return (scores.astype(np.float64) - minimum) / (top - minimum)


@dataclass(frozen=True)
class FusionChoice:
    """The chosen weight, and (recall@k, MRR@10) over the `questions` for every weight tried."""

    dense_weight: float
    questions: int
    tried: dict[float, tuple[float, float]]


def choose_fusion(
    candidates: Sequence[Candidates],
    documents: Sequence[Sequence[str]],
    evidence: Sequence[Collection[str]],
    k: int,
    default: float = DEFAULT_DENSE_WEIGHT,
) -> FusionChoice:
    """The weight under which questions find their evidence; never look at test questions with it.

    For question i, `documents[i]` names the document of each of its candidates, and `evidence[i]` the
    documents that hold its answer (questions without evidence are left aside). A question's score is the mean
    of recall@k and its reciprocal rank. Among the weights that are within one standard error (paired) of the
    best, the one nearest to `default` is taken, so that a handful of questions cannot move it far; without
    evidence it is `default` itself.
    """
    known = [index for index, ids in enumerate(evidence) if ids]
    if not known:
        return FusionChoice(default, 0, {})
    scores: dict[float, np.ndarray] = {}
    tried: dict[float, tuple[float, float]] = {}
    for weight in sorted({*GRID, default}):
        measured = np.array([_measure(candidates[i], documents[i], evidence[i], weight, k) for i in known])
        scores[weight] = measured.mean(axis=1)
        tried[weight] = (float(measured[:, 0].mean()), float(measured[:, 1].mean()))
    best = max(scores, key=lambda weight: float(scores[weight].mean()))
    near = [weight for weight in scores if _no_worse(scores[best] - scores[weight])]
    return FusionChoice(min(near, key=lambda weight: abs(weight - default)), len(known), tried)


def _measure(
    candidates: Candidates, documents: Sequence[str], evidence: Collection[str], weight: float, k: int
) -> tuple[float, float]:
    order, _ = candidates.ranked(weight)
    ranking = [documents[index] for index in order]
    return recall(ranking, evidence, k), reciprocal_rank(ranking, evidence)


def _no_worse(lost: np.ndarray) -> bool:
    """Whether a mean loss is within one standard error of none."""
    error = float(lost.std(ddof=1)) / len(lost) ** 0.5 if len(lost) > 1 else 0.0
    return float(lost.mean()) <= error
