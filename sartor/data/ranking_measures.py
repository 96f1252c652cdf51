"""How well a ranking found what it should: measures of one question. A repeated id counts where it comes first."""

from collections.abc import Collection, Sequence
from math import log2


def recall(ranking: Sequence[str], evidence: Collection[str], k: int) -> float:
    """The share of the evidence documents among the first `k`."""
    return len(set(ranking[:k]) & set(evidence)) / len(set(evidence))


def reciprocal_rank(ranking: Sequence[str], evidence: Collection[str], depth: int = 10) -> float:
    """1 / rank of the first evidence document, 0 when it is not among the first `depth`."""
    return next((1 / rank for rank, id in enumerate(ranking[:depth], start=1) if id in evidence), 0.0)


def discounted_gain(ranking: Sequence[str], evidence: Collection[str], depth: int = 10) -> float:
    """nDCG with gains of 0 and 1 (Järvelin & Kekäläinen 2002): the sum of 1 / log2(rank + 1) over the evidence among
    the first `depth`, divided by the most it could be."""
    wanted = set(evidence)
    found, gain = set(), 0.0
    for rank, id in enumerate(ranking[:depth], start=1):
        if id in wanted and id not in found:
            found.add(id)
            gain += 1 / log2(rank + 1)
    return gain / sum(1 / log2(rank + 1) for rank in range(1, min(len(wanted), depth) + 1))
