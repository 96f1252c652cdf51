"""Records with equal keys, found within bounded memory: sorted in memory, or in partitions of a temporary file.

Keys are hashes, so a range of keys holds its share of the distinct ones. Many records with one key do not need more
memory: they are linked piece by piece.
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

SORTED_BYTES = 48  # for a record while it is sorted: key, number, order and their copies
SPILLED_BYTES = 16  # for a record on disk: key and number
LEAST_PIECE = 1 << 10  # records; fewer would be all overhead
MOST_PARTITIONS = 512  # files open at the same time

Batches = Iterable[tuple[np.ndarray, np.ndarray]]
"""(keys uint64[n], numbers of the records int64[n])"""
Links = Iterator[tuple[np.ndarray, np.ndarray]]
"""Pairs of records with equal keys: each record with a key is linked, directly or not, to all others with it."""


def partitions_needed(num_records: int, memory_bytes: int) -> int:
    """A power of two up to MOST_PARTITIONS; 1 where the records can be sorted in memory."""
    share = max(memory_bytes // SORTED_BYTES, LEAST_PIECE)
    return min(1 << max(-(-num_records // share) - 1, 0).bit_length(), MOST_PARTITIONS)


def links(batches: Batches, num_records: int, memory_bytes: int, folder: Path) -> Links:
    """Links between records of `batches`; temporary files are made in `folder` where memory is too small."""
    partitions = partitions_needed(num_records, memory_bytes)
    if partitions == 1:
        keys, records = (np.concatenate(column) for column in zip(*batches, strict=True))
        yield _equal_neighbours(keys, records)[:2]
        return
    piece = max(memory_bytes // (2 * SORTED_BYTES), LEAST_PIECE)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".buckets.") as name:
        for path in _spill(batches, partitions, Path(name)):
            yield from _links_of_partition(path, piece)
            path.unlink()


def _spill(batches: Batches, partitions: int, folder: Path) -> list[Path]:
    """A file of (key, record) for every range of keys."""
    shift = np.uint64(64 - (partitions.bit_length() - 1))
    paths = [folder / f"{number}" for number in range(partitions)]
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for keys, records in batches:
            ranges = keys >> shift
            order = np.argsort(ranges, kind="stable")
            pairs = np.stack([keys[order], records[order].astype(np.uint64)], axis=1)
            ends = np.searchsorted(ranges[order], np.arange(partitions, dtype=np.uint64), "right")
            for file, begin, end in zip(files, np.append(0, ends), ends, strict=False):
                file.write(pairs[begin:end].tobytes())
    return paths


def _links_of_partition(path: Path, piece: int) -> Links:
    """Links piece by piece; of each key the first record is carried on to the next piece."""
    keys, records = np.empty(0, np.uint64), np.empty(0, np.int64)
    with path.open("rb") as file:
        while content := file.read(piece * SPILLED_BYTES):
            pairs = np.frombuffer(content, np.uint64).reshape(-1, 2)
            keys = np.concatenate([keys, pairs[:, 0]])
            records = np.concatenate([records, pairs[:, 1].astype(np.int64)])
            first, other, begins = _equal_neighbours(keys, records)
            yield first, other
            keys, records = begins


def _equal_neighbours(
    keys: np.ndarray, records: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """For every record but the first with its key: that first one, and it; then the first ones with their keys."""
    order = np.argsort(keys, kind="stable")
    keys, records = keys[order], records[order]
    is_first = np.ones(len(keys), bool)
    is_first[1:] = keys[1:] != keys[:-1]
    begins = np.flatnonzero(is_first)
    first = np.repeat(records[begins], np.diff(np.append(begins, len(keys))))
    return first[~is_first], records[~is_first], (keys[begins], records[begins])
