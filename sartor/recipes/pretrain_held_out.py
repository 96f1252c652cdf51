"""Which documents of a text are only measured on."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from sartor.data.documents import TEXT
from sartor.data.filters.segments import cut, whole_id
from sartor.data.split import group_fraction
from sartor.data.token_shards.source import COLUMNS, DocumentSource

SMALL_BYTES = 100_000_000  # assumed: of more text a hundredth is plenty to measure on
LARGE_SHARE, SMALL_SHARE = 0.01, 0.1
TABLE_BYTES = 8_000_000
PARTS, FEWEST_CHARACTERS = 20, 200


def held_out_share(source: DocumentSource) -> float | None:
    """The share of hashes below which a document is held out: a hundredth of much text; of little text as much as makes
    a tenth of the documents, and one at least. None where all of it is one document."""
    if source.num_bytes >= SMALL_BYTES:
        return LARGE_SHARE
    groups = {whole_id(name) for table in source.tables(TABLE_BYTES) for name in table["id"].to_pylist()}
    if len(groups) < 2:
        return None
    fractions = sorted(map(group_fraction, groups))
    held_out = max(1, round(SMALL_SHARE * len(groups)))
    return (fractions[held_out - 1] + fractions[held_out]) / 2


@dataclass(frozen=True)
class InParts:
    """A text that is all one document, cut into about PARTS documents between paragraphs, so that some can be held out;
    nothing is lost."""

    whole: DocumentSource

    @property
    def fingerprint(self) -> str:
        return f"{self.whole.fingerprint} in {PARTS} parts"

    @property
    def num_bytes(self) -> int:
        return self.whole.num_bytes

    def tables(self, max_bytes: int) -> Iterator[pa.Table]:
        for table in self.whole.tables(max_bytes):
            for name, text in zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True):
                parts = list(cut(text, max(FEWEST_CHARACTERS, -(-len(text) // PARTS))))
                names = [f"{name} part {number}" for number in range(1, len(parts) + 1)]
                yield pa.table([pa.array(names, TEXT), pa.array(parts, TEXT)], schema=COLUMNS)
