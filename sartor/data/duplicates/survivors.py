"""Which record of each cluster stays: the one of lowest rank, then of lowest tie, then the first."""

import numpy as np

from sartor.data.duplicates.clusters import BATCH, Clusters
from sartor.data.duplicates.signature_files import SignatureFiles

HIGHEST = np.iinfo(np.uint64).max


def choose_survivors(clusters: Clusters, files: SignatureFiles) -> np.ndarray:
    """[records]: the record that stays in each record's place, itself where it stays. Uses up the clusters' array.

    Costs 28 bytes (32 from 2**31 records on) for each cluster of two or more, and reads rank and tie three times.
    """
    roots = clusters.flatten()
    parents = clusters.parents
    best = _lowest(parents, roots, files, "rank", None)
    ties = _lowest(parents, roots, files, "tie", best)
    winners = np.full(len(roots), len(parents), np.int64)
    for first, (ranks, tie) in files.columns("rank", "tie"):
        records, cluster = _members(parents, roots, first, len(ranks))
        at = records - first
        wins = (ranks[at] == best[cluster]) & (tie[at] == ties[cluster])
        np.minimum.at(winners, cluster[wins], records[wins])
    for begin in range(0, len(parents), BATCH):
        records, cluster = _members(parents, roots, begin, min(BATCH, len(parents) - begin))
        parents[records] = winners[cluster]
    return parents


def _lowest(
    parents: np.ndarray, roots: np.ndarray, files: SignatureFiles, column: str, best_rank: np.ndarray | None
) -> np.ndarray:
    """uint64[clusters]: the lowest value among a cluster's records, or among those of them that have its best rank."""
    lowest = np.full(len(roots), HIGHEST, np.uint64)
    names = (column,) if best_rank is None else (column, "rank")
    for first, (values, *ranks) in files.columns(*names):
        records, cluster = _members(parents, roots, first, len(values))
        at = records - first
        if best_rank is not None:
            is_best = ranks[0][at] == best_rank[cluster]
            at, cluster = at[is_best], cluster[is_best]
        np.minimum.at(lowest, cluster, values[at])
    return lowest


def _members(parents: np.ndarray, roots: np.ndarray, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of `count` records from `first` on: those that are not alone, and the number of the cluster of each."""
    own = parents[first : first + count]
    if not len(roots):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    cluster = np.minimum(np.searchsorted(roots, own), len(roots) - 1)
    shared = np.flatnonzero(roots[cluster] == own)
    return first + shared, cluster[shared]
