"""What the quality classifier sees of a text: the share of each word and each pair of neighbouring words, hashed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sartor.data.filters.texts import Texts

NUM_BUCKETS = 2**20
MAX_WORDS = 1_000  # of a text's beginning; long and short texts become comparable, and long ones quick
PAIR_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(64 - 20)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """Features of rows: row i has the buckets[first[i] : first[i + 1]], each with the value values[i].

    Buckets are numbered from 0 to num_buckets - 1.
    A row's value is 1 / sqrt(number of its features), so that its length matters little. A row without words has none.
    """

    buckets: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    values: Floats
    num_buckets: int = NUM_BUCKETS

    def products(self, weights: Floats) -> npt.NDArray[np.float64]:
        """Each row's features times the weights: [num_buckets] -> [rows]. A row's sum is rounded alike in any table."""
        result = np.zeros(len(self.values))
        filled = np.flatnonzero(np.diff(self.first))
        if len(filled):
            each = weights[self.buckets].astype(np.float64)
            result[filled] = np.add.reduceat(each, self.first[filled]) * self.values[filled]
        return result

    def transposed_products(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """A number for each row, brought to its features and summed: [rows] -> [num_buckets]."""
        each = np.repeat(rows * self.values, np.diff(self.first))
        return np.asarray(np.bincount(self.buckets, each, self.num_buckets), np.float64)

    def take(self, rows: npt.NDArray[np.int64]) -> "Features":
        """The features of some rows, in the order given."""
        lengths = np.diff(self.first)[rows]
        first = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(first[-1]) + np.repeat(self.first[rows] - first[:-1], lengths)
        return Features(self.buckets[places], first, self.values[rows], self.num_buckets)

    def compact(self) -> tuple["Features", npt.NDArray[np.int32]]:
        """The same with only the buckets that occur, renumbered; and which those are, ascending."""
        used, numbers = np.unique(self.buckets, return_inverse=True)
        return Features(numbers.astype(np.int32), self.first, self.values, len(used)), used


def features_of(texts: pa.ChunkedArray) -> Features:
    """The features of a column of texts: words (as `words.py` cuts them) and pairs of them, in NUM_BUCKETS buckets."""
    words = Texts.of_column(texts).words
    lengths = np.minimum(np.diff(words.first), MAX_WORDS)
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(words.first[:-1] - (ends - lengths), lengths)
    hashes = words.hashes[places]
    pairs = hashes[:-1] * PAIR_MULTIPLIER + hashes[1:]
    inside = np.ones(len(pairs), np.bool_)
    inside[ends[(ends > 0) & (ends < len(hashes))] - 1] = False  # a pair of two texts' words
    row_of = np.repeat(np.arange(len(lengths)), lengths)
    buckets = np.concatenate([_bucket(hashes), _bucket(pairs[inside])])
    rows = np.concatenate([row_of, row_of[:-1][inside]])
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows, minlength=len(lengths))
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Features(buckets[order], first, (1 / np.sqrt(np.maximum(counts, 1))).astype(np.float32))


def _bucket(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
    return ((hashes * PAIR_MULTIPLIER) >> SHIFT).astype(np.int32)
