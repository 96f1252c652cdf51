"""Documents with known similarity, and the whole search over them in a folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sartor.data.documents import documents_table
from sartor.data.duplicates.removal import Found, find_duplicates
from sartor.data.duplicates.signatures import NearDuplicates, near_signatures, write_signatures
from sartor.data.duplicates.verify import Verification

GRAM_WORDS = 5
SIMILARITIES = {0.7: (14, 17), 0.75: (18, 21), 0.8: (16, 18), 0.85: (34, 37)}
"""Jaccard similarity -> n-grams shared, and n-grams of each text: shared / (2 * all - shared)."""


def planted_pair(generator: np.random.Generator, similarity: float, times: int = 4) -> tuple[str, str]:
    """Two texts, of words that occur once, whose sets of 5-grams have exactly this Jaccard similarity."""
    shared, every = (times * count for count in SIMILARITIES[similarity])
    common, rest = shared + GRAM_WORDS - 1, every - shared
    words = [f"w{number}" for number in generator.choice(2**40, common + 2 * rest, replace=False)]
    return " ".join(words[: common + rest]), " ".join(words[:common] + words[common + rest :])


def jaccard(left: str, right: str) -> float:
    def grams(text: str) -> set[tuple[str, ...]]:
        words = text.lower().split()
        return {tuple(words[place : place + GRAM_WORDS]) for place in range(len(words) - GRAM_WORDS + 1)}

    return len(grams(left) & grams(right)) / len(grams(left) | grams(right))


def table_of(texts: dict[str, str], **more: Callable[[str], str]) -> pa.Table:
    """Documents with these ids and texts; `more` gives other columns from the id."""
    rows = [
        {"id": name, "text": text, "source": "test", **{column: of(name) for column, of in more.items()}}
        for name, text in texts.items()
    ]
    return documents_table(rows)


def search(
    folder: Path,
    shards: Sequence[pa.Table],
    settings: NearDuplicates | None = None,
    sign: Callable[[pa.Table, NearDuplicates, int, int], pa.Table] = near_signatures,
    memory_bytes: int | None = None,
    verification: Verification | None = None,
    reverse: bool = False,
) -> tuple[dict[str, str], Found]:
    """`{id of a dropped document: id of what stays in its place}`, and what the search says of itself."""
    settings = settings or NearDuplicates()
    signatures, out = [], []
    for number, table in enumerate(shards):
        signatures.append(folder / f"{number}.signatures")
        out.append(folder / f"{number}.drops")
        write_signatures(signatures[-1], [sign(table, settings, number, 0)])
    step = -1 if reverse else 1
    found = find_duplicates(signatures[::step], out[::step], memory_bytes, verification, lambda shard: [shards[shard]])
    dropped: dict[str, str] = {}
    for table, path in zip(shards, out, strict=True):
        drops = pq.read_table(path)
        ids = table["id"].take(drops["row"]).to_pylist()
        dropped |= dict(zip(ids, drops["duplicate_of"].to_pylist(), strict=True))
    return dropped, found
