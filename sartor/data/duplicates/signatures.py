"""What a document is recognised by: the first phase of finding duplicates, a pure function of a table of documents.

A table of signatures has a row for each document that can be compared, and no text:

    id     large_string  the document's id
    shard  int32         the number of the file of documents it stands in
    row    int64         its row there, from 0
    rank   uint64        the document with the lowest rank is kept; see `Rule.keep`
    tie    uint64        decides between equal ranks: a hash of the document's id and text
    band_0, band_1, …    uint64: two rows that agree in any of these columns are duplicates

The columns are apart so that the second phase (`removal.py`) reads one at a time.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, field_validator

from sartor.base.configuration import Config
from sartor.base.durable import replace_file
from sartor.data.documents import SCHEMA
from sartor.data.duplicates.exact import ExactMatch, keys_of, text_keys
from sartor.data.duplicates.minhash import MinHash, band_hashes
from sartor.data.duplicates.words import mix
from sartor.data.source_groups import source_group

METADATA_KEY = b"sartor.signatures"
EVERYTHING, SHARD, SOURCE_GROUP, METADATA = "everything", "shard", "source_group", "metadata."
ROW_GROUP_ROWS = 1 << 16
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNKNOWN_TIME = np.iinfo(np.int64).max


class Rule(Config):
    """Among which documents duplicates are looked for, and which one of them stays.

    Ties are broken by a hash of id and text, so the same documents stay however they are cut into files or ordered.
    A document whose time is unknown or not ISO 8601 loses against any other by `earliest` and by `latest`.
    """

    scope: str = Field(
        default=EVERYTHING, description="everything, shard, source_group, a column such as language, or metadata.KEY"
    )
    keep: Literal["longest", "earliest", "latest"] = Field(default="longest", description="which duplicate stays")

    @field_validator("scope")
    @classmethod
    def _known_scope(cls, scope: str) -> str:
        columns = [name for name in SCHEMA.names if name not in ("id", "text", "sha256", "metadata")]
        if scope in (EVERYTHING, SHARD, SOURCE_GROUP, *columns) or (scope.startswith(METADATA) and scope != METADATA):
            return scope
        known = ", ".join((EVERYTHING, SHARD, SOURCE_GROUP, f"{METADATA}KEY"))
        raise ValueError(f"it should be {known} or one of {', '.join(columns)}")


class ExactDuplicates(Rule):
    """Whole documents that are the same text."""

    match: ExactMatch = ExactMatch()


class NearDuplicates(Rule):
    """Documents that share most of their word n-grams; those with fewer words than an n-gram are never compared."""

    match: MinHash = MinHash()


def exact_signatures(documents: pa.Table, settings: ExactDuplicates, shard: int, first_row: int = 0) -> pa.Table:
    """One row for each document; `first_row` is where this table begins in its shard."""
    keys = text_keys(documents["text"].to_pylist(), settings.match)
    rows = np.arange(len(documents))
    return _signatures(documents, settings, shard, first_row, rows, keys[:, None])


def near_signatures(documents: pa.Table, settings: NearDuplicates, shard: int, first_row: int = 0) -> pa.Table:
    """One row for each document that has an n-gram; `first_row` is where this table begins in its shard."""
    rows, bands = band_hashes(documents["text"].to_pylist(), settings.match)
    return _signatures(documents, settings, shard, first_row, rows, bands)


def write_signatures(path: Path, tables: Iterable[pa.Table]) -> None:
    """The signatures of one shard as a Parquet file, whole or not at all. There must be at least one table."""

    def write(temporary: Path) -> None:
        remaining = iter(tables)
        first = next(remaining)
        # Hashes do not compress, ids do.
        with pq.ParquetWriter(temporary, first.schema, compression="zstd", use_dictionary=["id"]) as writer:
            for table in (first, *remaining):
                writer.write_table(table, row_group_size=ROW_GROUP_ROWS)

    replace_file(path, write)


def _signatures(
    documents: pa.Table, rule: Rule, shard: int, first_row: int, rows: np.ndarray, keys: np.ndarray
) -> pa.Table:
    if rule.scope != EVERYTHING:
        scopes = keys_of(_scopes(documents, rule.scope, shard))
        keys = mix(keys ^ scopes[rows, None])
    names = zip(documents["id"].to_pylist(), documents["sha256"].to_pylist(), strict=True)
    ties = keys_of(f"{name}\n{text_hash}" for name, text_hash in names)
    columns = {
        "id": documents["id"].take(pa.array(rows)),
        "shard": pa.array(np.full(len(rows), shard, np.int32)),
        "row": pa.array(rows.astype(np.int64) + first_row),
        "rank": pa.array(_RANKS[rule.keep](documents)[rows]),
        "tie": pa.array(ties[rows]),
    } | {f"band_{number}": pa.array(band) for number, band in enumerate(keys.T)}
    stamp = {type(rule).__name__: rule.model_dump(mode="json")}
    return pa.table(columns).replace_schema_metadata({METADATA_KEY: json.dumps(stamp, sort_keys=True)})


def _scopes(documents: pa.Table, scope: str, shard: int) -> Sequence[str]:
    """A name for each document's scope; documents of which it is not known are in one scope together."""
    if scope == SHARD:
        return [str(shard)] * len(documents)
    if scope == SOURCE_GROUP:
        return [source_group(source) for source in documents["source"].to_pylist()]
    if not scope.startswith(METADATA):
        return [json.dumps(value) for value in documents[scope].to_pylist()]
    key = scope.removeprefix(METADATA)
    loaded = (json.loads(text) if text else {} for text in documents["metadata"].to_pylist())
    return [json.dumps(values.get(key), sort_keys=True) for values in loaded]


def _longest(documents: pa.Table) -> np.ndarray:
    lengths = pc.utf8_length(documents["text"]).to_numpy()
    return np.iinfo(np.uint64).max - lengths.astype(np.uint64)


def _earliest(documents: pa.Table) -> np.ndarray:
    return _order(np.array([_microseconds(time) for time in documents["time"].to_pylist()], np.int64))


def _latest(documents: pa.Table) -> np.ndarray:
    times = np.array([_microseconds(time) for time in documents["time"].to_pylist()], np.int64)
    return _order(np.where(times == UNKNOWN_TIME, times, -times))


def _order(values: np.ndarray) -> np.ndarray:
    """uint64 in the order of int64."""
    return values.astype(np.uint64) ^ np.uint64(1 << 63)


def _microseconds(time: str | None) -> int:
    """Since 1970; a time without a zone is in UTC."""
    try:
        moment = datetime.fromisoformat(time or "")
    except ValueError:
        return UNKNOWN_TIME
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // timedelta(microseconds=1)


_RANKS: dict[str, Callable[[pa.Table], np.ndarray]] = {"longest": _longest, "earliest": _earliest, "latest": _latest}
