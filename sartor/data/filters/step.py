"""One step of cleaning: a pure function of a table of documents.

A step never sees where a shard begins or ends, so any cut of the documents into tables, on one machine or on many,
gives the same documents.
"""

from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa


@dataclass(frozen=True)
class Outcome:
    """What a step made of a table.

    `documents` [rows] are the same documents in the same order, perhaps edited. `reasons` [rows] says for each why it
    is dropped (a short identifier such as `gopher_mean_word_length`, the same for every document dropped for that
    reason), null where it is kept; None where the step drops nothing. `counts` are of what was edited ("texts
    repaired", "e-mail addresses replaced"), to be summed over tables. `details` [rows] says for a dropped document what
    its reason refers to (the id of the document it copies, the task row it holds), null elsewhere; None where the
    reasons say all.
    """

    documents: pa.Table
    reasons: pa.Array | None = None
    counts: dict[str, int] = field(default_factory=dict)
    details: pa.Array | None = None


class Step(Protocol):
    """A named step. It is made from plain settings and holds nothing that cannot be made again from them."""

    @property
    def name(self) -> str: ...

    def __call__(self, documents: pa.Table) -> Outcome:
        """Judge or edit every document. Errors of a single document are reasons, never exceptions."""
        ...
