"""Clusters are the connected components, found in bounded memory and in any order."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sartor.data.duplicates import buckets
from sartor.data.duplicates.buckets import links, partitions_needed
from sartor.data.duplicates.clusters import Clusters

EDGES = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60)


def same_partition(left: np.ndarray, right: np.ndarray) -> bool:
    pairs = set(zip(left.tolist(), right.tolist(), strict=True))
    return len(pairs) == len(set(left.tolist())) == len(set(right.tolist()))


@given(EDGES, st.integers(1, 60))
def test_clusters_are_connected_components(edges: list[tuple[int, int]], batch: int) -> None:
    clusters = Clusters(30)
    ends = np.array(edges, np.int64).reshape(-1, 2)
    for begin in range(0, len(ends), batch):
        clusters.join(*ends[begin : begin + batch].T)
    shared = clusters.flatten()
    graph = coo_array((np.ones(len(ends)), tuple(ends.T)), shape=(30, 30))
    _, expected = connected_components(graph, directed=False)
    assert same_partition(clusters.parents, expected)
    assert shared.tolist() == sorted(
        root for root in set(clusters.parents.tolist()) if np.count_nonzero(clusters.parents == root) > 1
    )


def test_a_chain_of_a_hundred_thousand_is_joined_quickly() -> None:
    clusters = Clusters(100_000)
    clusters.join(np.arange(99_999), np.arange(1, 100_000))
    clusters.flatten()
    assert not clusters.parents.any()


@pytest.mark.parametrize("memory_bytes", [10**9, 1])
@given(keys=st.lists(st.integers(0, 40), min_size=1, max_size=300))
def test_records_with_equal_keys_are_linked(memory_bytes: int, keys: list[int], tmp_path_factory) -> None:
    """With one byte of memory everything goes through partitions on disk, read in pieces."""
    spread = np.array(keys, np.uint64) * np.uint64(2**58)
    batches = [(spread[at : at + 7], np.arange(len(keys))[at : at + 7]) for at in range(0, len(keys), 7)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckets, "LEAST_PIECE", 5)
        assert memory_bytes > 1 or len(keys) <= 5 or partitions_needed(len(keys), 1) > 1
        clusters = Clusters(len(keys))
        folder = Path(tmp_path_factory.mktemp("spill"))
        for left, right in links(batches, len(keys), memory_bytes, folder):
            clusters.join(left, right)
        assert not list(folder.iterdir())
    clusters.flatten()
    assert same_partition(clusters.parents, spread)
