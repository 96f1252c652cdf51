"""A search measured on questions whose evidence is known: recall@k, MRR@10 and nDCG@10, with intervals.

Rankings are of documents, each once: several passages of one document count as the first of them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from sartor.data.ranking_measures import discounted_gain, recall, reciprocal_rank
from sartor.evaluation.statistics import Comparison, Groups, Interval, mean_interval, paired_difference

DEPTH = 10


@dataclass(frozen=True)
class RetrievalScores:
    """Each [questions], in [0, 1]; `k` is that of recall."""

    k: int
    recall: np.ndarray
    reciprocal_rank: np.ndarray
    gain: np.ndarray

    @property
    def by_name(self) -> dict[str, np.ndarray]:
        return {f"recall@{self.k}": self.recall, f"MRR@{DEPTH}": self.reciprocal_rank, f"nDCG@{DEPTH}": self.gain}

    def intervals(self, groups: Groups | None = None) -> dict[str, Interval]:
        """Means with 95 % limits; questions of one group (about one text) are not independent."""
        return {name: mean_interval(scores, groups) for name, scores in self.by_name.items()}

    def compared_with(self, other: "RetrievalScores", groups: Groups | None = None) -> dict[str, Comparison]:
        """This search minus another on the same questions."""
        return {name: paired_difference(scores, other.by_name[name], groups) for name, scores in self.by_name.items()}


def retrieval_scores(
    rankings: Sequence[Sequence[str]], evidence: Sequence[Collection[str]], k: int = 5
) -> RetrievalScores:
    """`rankings[i]` are the ids of the documents found for question i, the best first; `evidence[i]` those that hold
    its answer. ValueError for a question without evidence: it can be neither found nor missed."""
    if len(rankings) != len(evidence) or not all(evidence):
        raise ValueError("every question needs a ranking and at least one document of evidence")
    once = [list(dict.fromkeys(ranking)) for ranking in rankings]
    pairs = list(zip(once, evidence, strict=True))
    return RetrievalScores(
        k,
        np.array([recall(ranking, wanted, k) for ranking, wanted in pairs]),
        np.array([reciprocal_rank(ranking, wanted, DEPTH) for ranking, wanted in pairs]),
        np.array([discounted_gain(ranking, wanted, DEPTH) for ranking, wanted in pairs]),
    )
