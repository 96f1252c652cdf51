"""What a set of documents is like: lengths, languages, sources, licences; descriptions of parts add up."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sartor.data.document_file import text_bytes
from sartor.data.source_groups import UNKNOWN, source_group

MOST_SOURCES = 1000  # of one shard that are told apart, so that a description stays small
OTHER = "(other)"


@dataclass
class Description:
    """`lengths` counts documents by the power of two that their length in characters reaches: 10 for 1,024 to 2,047,
    -1 for none. `sources` counts them by host, or by the folder of a file."""

    documents: int = 0
    text_bytes: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)

    def note(self, table: pa.Table) -> None:
        """Count the documents of a table in."""
        characters = pc.utf8_length(table["text"]).to_numpy()
        powers = np.frexp(characters.astype(np.float64))[1] - 1  # 2**power <= length, and -1 for 0
        self.documents += table.num_rows
        self.text_bytes += text_bytes(table)
        self.lengths.update(dict(zip(*map(np.ndarray.tolist, np.unique(powers, return_counts=True)), strict=True)))
        self.languages.update(_counts(table["language"]))
        self.licences.update(_counts(table["licence"]))
        for source, number in _counts(table["source"]).items():
            self.sources[source_group(source)] += number

    def add(self, other: "Description") -> None:
        self.documents += other.documents
        self.text_bytes += other.text_bytes
        for name in ("lengths", "languages", "sources", "licences"):
            getattr(self, name).update(getattr(other, name))

    def as_dict(self) -> dict[str, Any]:
        """Of the sources the largest only; the others are counted together."""
        largest = sorted(self.sources.items(), key=lambda item: (item[0] == OTHER, -item[1], item[0]))
        kept = dict(largest[:MOST_SOURCES])
        if rest := sum(number for _, number in largest[MOST_SOURCES:]):
            kept[OTHER] = kept.get(OTHER, 0) + rest
        return {**vars(self), "sources": kept}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Description":
        lengths = Counter({int(power): number for power, number in values["lengths"].items()})
        others = {name: Counter(values[name]) for name in ("languages", "sources", "licences")}
        return cls(values["documents"], values["text_bytes"], lengths, **others)


def combined(parts: Iterable[Description]) -> Description:
    whole = Description()
    for part in parts:
        whole.add(part)
    return whole


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {
        UNKNOWN if item["values"] is None else item["values"]: item["counts"]
        for item in pc.value_counts(column.combine_chunks()).to_pylist()
    }
