"""A few dropped documents for each reason, to be shown: which ones depends on the documents only.

Of all documents dropped for a reason those are taken whose ids have the smallest hashes, so that samples of parts,
however they were cut, give the sample of the whole.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

EACH = 3
EXCERPT_CHARACTERS = 300

Sample = dict[str, Any]
Mask = Callable[[str], str]


class Samples:
    """`by_reason[step, reason]` are at most `EACH` samples: id, source, detail, excerpt."""

    def __init__(self, mask: Mask):
        self._mask = mask
        self.by_reason: dict[tuple[str, str], list[tuple[str, Sample]]] = {}

    def note(self, rejects: pa.Table) -> None:
        """Consider the rows of a table of rejects (`rejects.SCHEMA`)."""
        columns = rejects.select(["id", "step", "reason"]).to_pydict()
        for row, (id, step, reason) in enumerate(zip(*columns.values(), strict=True)):
            rank = hashlib.sha256(id.encode()).hexdigest()
            best = self.by_reason.setdefault((step, reason), [])
            if len(best) < EACH or rank < best[-1][0]:
                best.append((rank, self._sample(rejects, row)))
                best.sort(key=lambda ranked: ranked[0])
                del best[EACH:]

    def as_list(self) -> list[Sample]:
        return [
            {"step": step, "reason": reason, "rank": rank, **sample}
            for (step, reason), best in self.by_reason.items()
            for rank, sample in best
        ]

    def _sample(self, rejects: pa.Table, row: int) -> Sample:
        detail = rejects["detail"][row].as_py()
        # The text is masked before it is cut, or half of an address would be left at the end.
        text = rejects["text"][row].as_py()[: 8 * EXCERPT_CHARACTERS]
        masked = self._mask(text)
        excerpt = masked[:EXCERPT_CHARACTERS]
        more = len(masked) > EXCERPT_CHARACTERS
        return {
            "id": self._mask(rejects["id"][row].as_py()),
            "source": self._mask(rejects["source"][row].as_py()),
            "detail": None if detail is None else self._mask(detail),
            "excerpt": excerpt + ("…" if more else ""),
        }


def smallest(samples: Iterable[Sample]) -> dict[tuple[str, str], list[Sample]]:
    """Of the samples of many parts, those of the whole."""
    grouped: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        grouped.setdefault((sample["step"], sample["reason"]), []).append(sample)
    return {key: sorted(group, key=lambda sample: sample["rank"])[:EACH] for key, group in grouped.items()}
