"""Numbers of word n-grams, computed for all places of all texts at once."""

from collections.abc import Iterator, Sequence

import numpy as np

from sartor.data.duplicates.words import Hashes, mix

GRAM_FACTOR = np.uint64(0xD6E8FEB86659FD93)


def gram_hashes(words: Hashes, length: int) -> Hashes:
    """The n-grams of `length` words of each text, repeated ones too; a text with fewer words has none."""
    return next(grams_of_lengths(words, [length]))


def grams_of_lengths(words: Hashes, lengths: Sequence[int]) -> Iterator[Hashes]:
    """`gram_hashes` for every length, in ascending order; grams of different lengths never count as equal.

    A longer gram's number is made from that of the shorter one that it begins with, so all lengths together cost
    little more than the longest.
    """
    values = np.zeros(len(words.values), np.uint64)
    wanted = sorted(set(lengths))
    for count in range(1, wanted[-1] + 1):
        room = max(len(words.values) - count + 1, 0)
        values = values[:room] * GRAM_FACTOR + words.values[count - 1 :]
        if count in wanted:
            yield _within_texts(values, words, count)


def _within_texts(values: np.ndarray, words: Hashes, length: int) -> Hashes:
    """Leave out the grams that reach from one text into the next."""
    counts = np.maximum(words.counts - length + 1, 0)
    starts = np.concatenate([[0], np.cumsum(counts)])
    inside = np.ones(len(words.values), bool)
    for back in range(1, length):
        last = words.starts[1:] - back
        inside[last[last >= words.starts[:-1]]] = False
    return Hashes(mix(values[inside[: len(values)]] + np.uint64(length)), starts)
