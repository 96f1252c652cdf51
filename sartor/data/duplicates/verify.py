"""A second look at what signatures took for near-duplicates: the true Jaccard similarity of their word n-grams.

In each cluster the records are taken in the order of their rank. Each is dropped if it is similar enough to one that
stays, and stays otherwise; so everything dropped is truly similar to what stays in its place, and nothing is
dropped over a chain of neighbours.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from pydantic import Field

from sartor.base.configuration import Config
from sartor.base.errors import DataError
from sartor.data.duplicates.grams import gram_hashes
from sartor.data.duplicates.signature_files import SignatureFiles
from sartor.data.duplicates.words import word_hashes

ShardTables = Callable[[int], Iterable[pa.Table]]
"""The documents of a shard, by its number, as the tables that its signatures were made of."""


class Verification(Config):
    """`gram_words` is that of the signatures."""

    least_similarity: float = Field(default=0.75, gt=0, le=1, description="true Jaccard similarity of duplicates")
    gram_words: int = Field(default=5, ge=1, le=100)


def keep_unverified(
    stays: np.ndarray, files: SignatureFiles, settings: Verification, tables: ShardTables, folder: Path
) -> int:
    """Correct `stays` [records], the record that stays in the place of each; how many more of them stay now.

    The n-grams of all records that are not alone go through a temporary file in `folder`: 8 bytes for each. Comparing
    a cluster takes time in proportion to its records times those of them that stay.
    """
    numbers = np.arange(len(stays))
    is_member = stays != numbers
    is_member[stays[is_member]] = True
    members = np.flatnonzero(is_member)
    if not len(members):
        return 0
    clusters = stays[members]
    ranks, ties = _column(files, "rank", members), _column(files, "tie", members)
    order = np.lexsort((members, ties, ranks, clusters))
    with TemporaryDirectory(dir=folder, prefix=".verify.") as name:
        grams = _GramFile(Path(name) / "grams", members, files, settings.gram_words, tables)
        edges = np.flatnonzero(np.diff(clusters[order], prepend=-1, append=-1))
        before = int(np.count_nonzero(stays[members] != members))
        for begin, end in zip(edges[:-1], edges[1:], strict=True):
            cluster = order[begin:end]
            stays[members[cluster]] = members[_stays_in_cluster(cluster, grams, settings.least_similarity)]
    return before - int(np.count_nonzero(stays[members] != members))


def _stays_in_cluster(cluster: np.ndarray, grams: "_GramFile", least: float) -> np.ndarray:
    """For each member, in order of rank, the one that stays in its place: the most similar, if it is enough so."""
    kept: list[int] = []
    sets: list[np.ndarray] = []
    found = []
    for member in cluster.tolist():
        own = grams[member]
        similarities = [_jaccard(own, other) for other in sets]
        best = int(np.argmax(similarities)) if similarities else -1
        if best >= 0 and similarities[best] >= least:
            found.append(kept[best])
            continue
        kept.append(member)
        sets.append(own)
        found.append(member)
    return np.array(found)


def _jaccard(left: np.ndarray, right: np.ndarray) -> float:
    """Of two sets, neither of them empty."""
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)


def _column(files: SignatureFiles, name: str, members: np.ndarray) -> np.ndarray:
    """The column's values for the members."""
    parts = []
    for first, (values,) in files.columns(name):
        begin, end = np.searchsorted(members, [first, first + len(values)])
        parts.append(values[members[begin:end] - first])
    return np.concatenate(parts)


class _GramFile:
    """The set of n-grams of each member, by its place among the members; ascending, on disk."""

    def __init__(self, path: Path, members: np.ndarray, files: SignatureFiles, gram_words: int, tables: ShardTables):
        shards, rows = _column(files, "shard", members), _column(files, "row", members)
        self.starts, self.lengths = np.zeros((2, len(members)), np.int64)
        order, written = np.lexsort((rows, shards)), 0
        edges = np.flatnonzero(np.diff(shards[order], prepend=-1, append=-1))
        with path.open("wb") as file:
            for begin, end in zip(edges[:-1], edges[1:], strict=True):
                places = order[begin:end]
                for place, grams in _grams_of_rows(tables, int(shards[places[0]]), rows[places], places, gram_words):
                    file.write(grams.tobytes())
                    self.starts[place], self.lengths[place] = written, len(grams)
                    written += len(grams)
        self.values = np.memmap(path, np.uint64, "r")

    def __getitem__(self, place: int) -> np.ndarray:
        return self.values[self.starts[place] : self.starts[place] + self.lengths[place]]


def _grams_of_rows(
    tables: ShardTables, shard: int, rows: np.ndarray, places: np.ndarray, gram_words: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(place, n-grams) for the wanted rows of a shard, which ascend."""
    first = done = 0
    for table in tables(shard):
        end = int(np.searchsorted(rows, first + table.num_rows))
        wanted = rows[done:end] - first
        texts = table["text"].take(pa.array(wanted)).to_pylist()
        grams = gram_hashes(word_hashes(texts), gram_words)
        for index in range(len(texts)):
            yield int(places[done + index]), np.unique(grams.values[grams.starts[index] : grams.starts[index + 1]])
        first, done = first + table.num_rows, end
    if done < len(rows):
        what = f"has {first:,} rows, its signatures are of row {rows[done]:,} too"
        raise DataError(what, where=f"shard {shard}", hint="make the signatures again")
