"""What the search found, put to the documents: a reason and a detail for each row to drop."""

from collections.abc import Mapping

import pyarrow as pa

from sartor.data.documents import TEXT

EXACT_REASON, NEAR_REASON = "exact_duplicate", "near_duplicate"


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
