"""Filters that judge documents by measures of their text, and the step that runs several of them one after the other.

A filter sees all texts of a table at once and says which rule each of them fails first. The step hands what was
computed (words, above all) from one filter to the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sartor.data.documents import TEXT
from sartor.data.filters.step import Outcome
from sartor.data.filters.texts import Texts, with_texts

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


class Verdict:
    """Which rule each text fails first. `open` [rows] are those that are wanted and have failed none yet."""

    def __init__(self, wanted: Mask) -> None:
        self.open = wanted.copy()
        self.reasons: list[str] = []
        self.codes = np.full(len(wanted), -1, np.int16)  # place in `reasons`

    def drop(self, reason: str, failing: Mask) -> None:
        """Drop the open rows in which `failing` [rows] is true."""
        self.codes[self.open & failing] = len(self.reasons)
        self.reasons.append(reason)
        self.open &= ~failing

    def drop_above(self, reason: str, measure: npt.NDArray[np.floating] | Numbers, limit: float | None) -> None:
        """Drop what measures more than `limit`; no limit, no rule."""
        if limit is not None:
            self.drop(reason, measure > limit)

    def drop_below(self, reason: str, measure: npt.NDArray[np.floating] | Numbers, limit: float | None) -> None:
        """Drop what measures less than `limit`; no limit, no rule."""
        if limit is not None:
            self.drop(reason, measure < limit)


@dataclass(frozen=True)
class Judged:
    """A filter's verdict; the texts [rows] as they go on, edited perhaps; counts of what was edited."""

    verdict: Verdict
    texts: Texts
    counts: dict[str, int] = field(default_factory=dict)


class TextFilter(Protocol):
    """One published set of rules. Rows that are not `wanted` are left alone."""

    def judge(self, texts: Texts, wanted: Mask) -> Judged: ...


@dataclass(frozen=True)
class FilterStep:
    """A step that runs filters in their order; a document that one drops is not seen by the next."""

    name: str
    filters: tuple[TextFilter, ...]

    def __call__(self, documents: pa.Table) -> Outcome:
        return run_filters(self.filters, documents)


def run_filters(filters: Sequence[TextFilter], documents: pa.Table) -> Outcome:
    """Judge a table by all filters."""
    texts = original = Texts.of_column(documents["text"])
    wanted = np.ones(len(texts), np.bool_)
    reasons = np.full(len(texts), None, object)
    counts: dict[str, int] = {}
    for each in filters:
        judged = each.judge(texts, wanted)
        names = np.array([*judged.verdict.reasons, None], object)
        dropped = judged.verdict.codes >= 0
        reasons[dropped] = names[judged.verdict.codes[dropped]]
        texts, wanted = judged.texts, judged.verdict.open
        for name, count in judged.counts.items():
            counts[name] = counts.get(name, 0) + count
    if texts is not original:
        documents = with_texts(documents, texts, differing(original, texts))
    return Outcome(documents, pa.array(reasons, TEXT, from_pandas=True), counts)


def differing(before: Texts, after: Texts) -> Mask:
    """Rows whose text is not the same in both."""
    equal = np.diff(before.offsets) == np.diff(after.offsets)
    for row in np.flatnonzero(equal):
        first, second = (each.data[each.offsets[row] : each.offsets[row + 1]] for each in (before, after))
        equal[row] = first.tobytes() == second.tobytes()
    return np.asarray(~equal)


def ratio(measure: Numbers, whole: Numbers) -> npt.NDArray[np.float64]:
    """measure / whole, 0 where the whole is 0."""
    return measure / np.maximum(whole, 1)


def sums_by_row(values: npt.NDArray[np.integer] | Mask, first: Numbers) -> Numbers:
    """Sums of values[first[i] : first[i + 1]] [rows]."""
    total = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return np.asarray(total[first[1:]] - total[first[:-1]])
