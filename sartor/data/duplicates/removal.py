"""From the signatures of all shards to the rows that each shard has to drop: the second phase.

One band at a time, records with equal keys are found (`buckets.py`) and joined (`clusters.py`); of each cluster one
record stays (`survivors.py`). Similarity is transitive here: a text near to a text that is near to a third is in one
cluster with it. `verify.py` undoes that where it is not wanted.

What is dropped depends on the documents alone, not on how they were cut into shards, in which order the files are
given, or how much memory there was.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sartor.base.durable import replace_file
from sartor.data.documents import TEXT
from sartor.data.duplicates.buckets import links
from sartor.data.duplicates.budget import Budget, budget_for, check_disk
from sartor.data.duplicates.clusters import BATCH, Clusters
from sartor.data.duplicates.signature_files import SignatureFiles
from sartor.data.duplicates.survivors import choose_survivors
from sartor.data.duplicates.verify import ShardTables, Verification, keep_unverified

DROPS = pa.schema([("row", pa.int64()), ("duplicate_of", TEXT)])
"""A row to drop: its place in the shard, and the id of what stays in its place."""


@dataclass(frozen=True)
class Found:
    """`dropped` of `compared` records are copies of one of `survivors`; `unverified` looked like copies and stay."""

    compared: int
    dropped: int
    survivors: int
    unverified: int
    budget: Budget


def find_duplicates(
    signatures: Sequence[Path],
    out: Sequence[Path],
    memory_bytes: int | None = None,
    verification: Verification | None = None,
    tables: ShardTables | None = None,
) -> Found:
    """Write to `out[i]` (Parquet, DROPS) what is to be dropped of the shard that `signatures[i]` is of.

    Everything takes at most `memory_bytes` (None: half of the memory there is) besides the interpreter, and
    temporary files are in the folder of `out[0]`; both are checked first (UsageError, SartorError). `verification`
    needs `tables`, which gives the documents of a shard again. DataError for files that do not belong together.
    """
    files = SignatureFiles(signatures)
    budget = budget_for(files.num_records, memory_bytes, verification is not None)
    for path in out:
        path.parent.mkdir(parents=True, exist_ok=True)
    folder = out[0].parent
    check_disk(budget, folder)
    clusters = Clusters(files.num_records)
    if files.num_records:
        for band in files.bands:
            for left, right in links(_keys(files, band), files.num_records, budget.sorting_bytes, folder):
                clusters.join(left, right)
    stays = choose_survivors(clusters, files)
    unverified = 0
    if verification is not None:
        if tables is None:
            raise ValueError("verification reads the documents again: give tables")
        unverified = keep_unverified(stays, files, verification, tables, folder)
    dropped, survivors = _write(stays, files, out, folder)
    return Found(files.num_records, dropped, survivors, unverified, budget)


def _keys(files: SignatureFiles, band: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(key, record) for batches of all records."""
    for first, (keys,) in files.columns(band):
        yield keys, np.arange(first, first + len(keys))


def _write(stays: np.ndarray, files: SignatureFiles, out: Sequence[Path], folder: Path) -> tuple[int, int]:
    """Write what each shard drops; how many records are dropped, and how many stay in the place of others."""
    survivors = _survivors(stays)
    dropped = 0
    with tempfile.TemporaryDirectory(dir=folder, prefix=".survivors.") as name:
        ids = _Ids(Path(name) / "ids", survivors, files)
        for index, path in enumerate(out):
            tables = [*_drops(stays, survivors, ids, files, index)]
            dropped += sum(table.num_rows for table in tables)
            table = pa.concat_tables([DROPS.empty_table(), *tables])
            replace_file(path, partial(pq.write_table, table, compression="zstd"))
    return dropped, len(survivors)


def _survivors(stays: np.ndarray) -> np.ndarray:
    """[survivors]: the records that stay in the place of others, ascending."""
    is_survivor = np.zeros(len(stays), bool)
    for begin in range(0, len(stays), BATCH):
        part = stays[begin : begin + BATCH]
        is_survivor[part[part != np.arange(begin, begin + len(part))]] = True
    return np.flatnonzero(is_survivor)


def _drops(
    stays: np.ndarray, survivors: np.ndarray, ids: "_Ids", files: SignatureFiles, index: int
) -> Iterator[pa.Table]:
    for first, batch in files.batches_of_file(index, "row"):
        replaced = stays[first : first + batch.num_rows]
        gone = np.flatnonzero(replaced != np.arange(first, first + batch.num_rows))
        if len(gone):
            names = [ids[place] for place in np.searchsorted(survivors, replaced[gone]).tolist()]
            columns = [batch["row"].take(pa.array(gone)), pa.array(names, TEXT)]
            yield pa.table(columns, schema=DROPS)


class _Ids:
    """The survivors' ids by their place among the survivors; on disk, for there may be more than fit into memory."""

    def __init__(self, path: Path, survivors: np.ndarray, files: SignatureFiles):
        self.ends = np.zeros(len(survivors) + 1, np.int64)
        with path.open("wb") as file:
            for first, batch in files.batches("id"):
                begin, end = np.searchsorted(survivors, [first, first + batch.num_rows])
                names = batch["id"].take(pa.array(survivors[begin:end] - first)).to_pylist()
                encoded = [name.encode() for name in names]
                file.write(b"".join(encoded))
                self.ends[begin + 1 : end + 1] = [len(name) for name in encoded]
        np.cumsum(self.ends, out=self.ends)
        self.text = np.memmap(path, np.uint8, "r") if self.ends[-1] else np.empty(0, np.uint8)

    def __getitem__(self, place: int) -> str:
        return self.text[self.ends[place] : self.ends[place + 1]].tobytes().decode()
