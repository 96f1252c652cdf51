"""Which records belong together: a union-find over arrays, by whole batches of pairs.

Every record points at another of its cluster that has a lower number, the lowest (the root) at itself. What the
clusters are depends on the pairs alone, not on their order or how they come in batches.
"""

import numpy as np

BATCH = 1 << 20


class Clusters:
    """`parents` [records] costs 4 bytes a record (8 from 2**31 records on)."""

    def __init__(self, num_records: int):
        self.parents = np.arange(num_records, dtype=index_type(num_records))

    def join(self, left: np.ndarray, right: np.ndarray) -> None:
        """Make one cluster of those of `left[i]` and `right[i]`, for all i."""
        parents = self.parents
        while len(left):
            left, right = self.roots(left), self.roots(right)
            apart = left != right
            low, high = np.minimum(left, right)[apart], np.maximum(left, right)[apart]
            np.minimum.at(parents, high, low)
            self._shorten(high)  # roots that were joined in a chain; all links of the chain are in `high`
            left, right = low, high

    def roots(self, records: np.ndarray) -> np.ndarray:
        """The lowest record of each record's cluster."""
        found = self.parents[records]
        while True:
            above = self.parents[found]
            if np.array_equal(above, found):
                break
            found = above
        self.parents[records] = found
        return found

    def flatten(self) -> np.ndarray:
        """Let every record point at its root; [clusters] the roots of clusters of two or more, ascending."""
        is_shared = np.zeros(len(self.parents), bool)
        for begin in range(0, len(self.parents), BATCH):
            records = np.arange(begin, min(begin + BATCH, len(self.parents)), dtype=self.parents.dtype)
            roots = self.roots(records)
            is_shared[roots[roots != records]] = True
        return np.flatnonzero(is_shared).astype(self.parents.dtype)

    def _shorten(self, records: np.ndarray) -> None:
        """Halve the way to the root until it is one step, for records whose way leads over records only."""
        while True:
            above = self.parents[records]
            further = self.parents[above]
            if np.array_equal(above, further):
                return
            self.parents[records] = further


def index_type(count: int) -> type[np.signedinteger]:
    """The smallest type that numbers `count` records."""
    return np.int32 if count < 2**31 else np.int64
