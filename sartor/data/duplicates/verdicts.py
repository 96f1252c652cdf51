"""What the search found, put to the documents: a reason and a detail for each row to drop, or texts without lines."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from sartor.data.documents import TEXT, with_text
from sartor.data.filters.step import Outcome

EXACT_REASON, NEAR_REASON, LINES_REASON = "exact_duplicate", "near_duplicate", "only_duplicate_lines"


def verdicts(num_rows: int, drops: Mapping[str, pa.Table]) -> pa.Table:
    """[num_rows] columns `reason` and `detail` (text, null where the row stays) of one shard.

    `drops` are tables of rows to drop (`removal.DROPS`) by reason; the first that names a row counts. The detail is the
    id of the document that stays in its place. All must have been found with the same `Rule.keep`: then every dropped
    document leads to a better one that stays, otherwise two searches could drop each other's survivors.
    """
    reasons: list[str | None] = [None] * num_rows
    details: list[str | None] = [None] * num_rows
    for reason, table in drops.items():
        for row, survivor in zip(table["row"].to_pylist(), table["duplicate_of"].to_pylist(), strict=True):
            if reasons[row] is None:
                reasons[row], details[row] = reason, survivor
    return pa.table({"reason": pa.array(reasons, TEXT), "detail": pa.array(details, TEXT)})


def without_lines(documents: pa.Table, drops: pa.Table, first_row: int = 0) -> Outcome:
    """The documents without their duplicate lines; one of which nothing but space would be left is dropped as it is.

    `first_row` is where `documents` begins in the shard that `drops` is of.
    """
    rows = drops["row"].to_numpy() - first_row
    here = np.flatnonzero((rows >= 0) & (rows < len(documents)))
    lines: dict[int, set[int]] = {}
    for row, part in zip(rows[here].tolist(), drops["part"].to_numpy()[here].tolist(), strict=True):
        lines.setdefault(row, set()).add(part)
    if not lines:
        return Outcome(documents)
    texts = documents["text"].to_pylist()
    reasons: list[str | None] = [None] * len(texts)
    for row, numbers in lines.items():
        kept = [line for number, line in enumerate(texts[row].split("\n")) if number not in numbers]
        rest = "\n".join(kept)
        if rest.strip():
            texts[row] = rest
        else:
            reasons[row] = LINES_REASON
    counts = {"duplicate lines removed": len(here)}
    return Outcome(with_text(documents, pa.array(texts, TEXT)), pa.array(reasons, TEXT), counts)
