"""Sets of 64-bit hashes for compiled loops: an open table that is emptied by counting up a stamp."""

import numpy as np

from sartor.data.filters.compiled import compiled
from sartor.data.filters.word_lexicon import MULTIPLIER

SMALLEST_TABLE = 64


@compiled
def table_size(entries):  # type: ignore[no-untyped-def]
    """The power of two that holds `entries` hashes and is at most half full."""
    size = SMALLEST_TABLE
    while size < 2 * entries:
        size *= 2
    return size


@compiled
def place_of(key, keys, stamps, stamp, size):  # type: ignore[no-untyped-def]
    """Where `key` stands in the first `size` places of the table, or where it is to be put (stamps[place] != stamp)."""
    mixed = (key ^ (key >> np.uint64(32))) * np.uint64(MULTIPLIER)
    place = np.int64(mixed >> np.uint64(32)) & (size - 1)
    while stamps[place] == stamp and keys[place] != key:
        place = (place + 1) & (size - 1)
    return place


@compiled
def was_there(key, keys, stamps, stamp, size):  # type: ignore[no-untyped-def]
    """Whether the set of this stamp holds `key`; it does afterwards."""
    place = place_of(key, keys, stamps, stamp, size)
    if stamps[place] == stamp:
        return True
    keys[place], stamps[place] = key, stamp
    return False
