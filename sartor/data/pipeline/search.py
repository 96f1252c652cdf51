"""Duplicates over all shards: each shard gets signatures, one search compares them, each shard gets a verdict."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sartor.base.durable import replace_file, replace_json
from sartor.data.duplicates.removal import DROPS, find_duplicates
from sartor.data.duplicates.signatures import (
    ExactDuplicates,
    NearDuplicates,
    exact_signatures,
    near_signatures,
)
from sartor.data.duplicates.verdicts import EXACT_REASON, NEAR_REASON, verdicts
from sartor.data.duplicates.verify import Verification
from sartor.data.pipeline.journal import Entry
from sartor.data.pipeline.shard import Signer, verdict_path

DONE = "done.json"


@dataclass(frozen=True)
class DuplicateSearch:
    """Same texts, nearly same texts, or both; None is not looked for. `verification` reads what seems nearly the same
    once more. `memory_bytes` bounds what the search takes."""

    exact: ExactDuplicates | None
    near: NearDuplicates | None
    verification: Verification | None = None
    memory_bytes: int | None = None

    def signers(self) -> dict[str, Signer]:
        """By the reason for which their documents are dropped."""
        signers: dict[str, Signer] = {}
        if self.exact is not None:
            signers[EXACT_REASON] = partial(_exact, self.exact)
        if self.near is not None:
            signers[NEAR_REASON] = partial(_near, self.near)
        return signers

    def find(self, out: Path, shards: Sequence[Entry], start_over: Callable[[], None]) -> None:
        """Leave a verdict on each shard that was kept, numbered without those that were left out. Nothing is done when
        there are verdicts on just these shards; one that was restored changes those on all."""
        kept = [shard for shard in shards if "kept" in shard.outputs]
        compared = {"compared": [shard.outputs["kept"].sha256 for shard in kept]}
        done = verdict_path(out, 0).with_name(DONE)
        if _content(done) == compared:
            return
        start_over()
        done.unlink(missing_ok=True)  # verdicts of two searches are never taken together
        done.parent.mkdir(parents=True, exist_ok=True)
        drops = {reason: dict(self._drops(reason, out, kept)) for reason in self.signers()}
        for number, shard in enumerate(kept):
            by_reason = {reason: found.get(shard.number) for reason, found in drops.items()}
            _write_verdict(verdict_path(out, number), shard.outputs["kept"].rows, by_reason)
        replace_json(done, compared)

    def _drops(self, reason: str, out: Path, shards: Sequence[Entry]) -> Iterator[tuple[int, Path]]:
        """(shard, the file of its rows to drop) for every shard that has signatures."""
        signed = [shard for shard in shards if reason in shard.outputs]
        if not signed:
            return
        paths = [verdict_path(out, shard.number).with_name(f"{reason}-{shard.number:05d}.parquet") for shard in signed]
        kept = {shard.number: out / shard.outputs["kept"].name for shard in signed}
        find_duplicates(
            [out / shard.outputs[reason].name for shard in signed],
            paths,
            self.memory_bytes,
            self.verification if reason == NEAR_REASON else None,
            lambda number: _tables(kept[number]),
        )
        yield from zip((shard.number for shard in signed), paths, strict=True)


def _content(path: Path) -> object:
    """None where there is nothing, or nothing that can be read."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _tables(path: Path) -> Iterator[pa.Table]:
    """A shard's documents in bounded pieces."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group)


def _write_verdict(path: Path, rows: int, drops: Mapping[str, Path | None]) -> None:
    tables = {reason: DROPS.empty_table() if path is None else pq.read_table(path) for reason, path in drops.items()}
    found = verdicts(rows, tables)
    replace_file(path, lambda place: pq.write_table(found, place, compression="zstd"))


def _exact(settings: ExactDuplicates, documents: pa.Table, shard: int, first_row: int) -> pa.Table:
    return exact_signatures(documents, settings, shard, first_row)


def _near(settings: NearDuplicates, documents: pa.Table, shard: int, first_row: int) -> pa.Table:
    return near_signatures(documents, settings, shard, first_row)
