"""Rows of tokens packed into one sequence: no padding, no token that nothing depends on, and a beginning that all rows
share is there only once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sartor.data.chat import Rendered

SHORTEST_SHARED_PREFIX_TOKENS = 8  # below this the saving does not pay for the extra segment


@dataclass(frozen=True)
class Span:
    """Tokens `start` to `end` of the packed sequence, continuing the spans in `prefixes`."""

    start: int
    end: int
    prefixes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Batch:
    """Packed rows.

    ids, positions [T]: tokens and their places in their own row. sources, targets [N]: `targets[i]` is a trained token
    and the state at `sources[i]` predicts it. owners [N]: which row the target belongs to.
    `num_row_tokens` counts the rows' tokens as if nothing were shared.
    """

    ids: Tensor
    positions: Tensor
    spans: tuple[Span, ...]
    sources: Tensor
    targets: Tensor
    owners: Tensor
    num_row_tokens: int
    where: tuple[str, ...]

    @property
    def num_trained(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> "Batch":
        moved = {name: getattr(self, name).to(device) for name in ("ids", "positions", "sources", "targets", "owners")}
        return Batch(**moved, spans=self.spans, num_row_tokens=self.num_row_tokens, where=self.where)


def shared_prefix_tokens(rows: Sequence[Rendered]) -> int:
    """How many leading tokens all rows have in common and none of them learns; 0 where sharing is not worth it."""
    limit = min(min(first_trained(row), len(row.ids) - 1) for row in rows)
    return common_tokens([row.ids for row in rows], limit)


def common_tokens(rows: Sequence[list[int]], limit: int) -> int:
    """How many leading tokens, at most `limit`, all rows have in common; 0 where sharing them is not worth it."""
    if len(rows) < 2:
        return 0
    first, last = min(rows), max(rows)
    length = 0
    while length < limit and first[length] == last[length]:
        length += 1
    return length if length >= SHORTEST_SHARED_PREFIX_TOKENS else 0


def first_trained(row: Rendered) -> int:
    return row.trained.index(True) if True in row.trained else len(row.ids)


def needed_tokens(row: Rendered) -> int:
    """How many of the row's first tokens its losses depend on: those before the last trained one, which is only
    predicted. Of a row that trains nothing, all."""
    return max((place for place in range(1, len(row.ids)) if row.trained[place]), default=len(row.ids))


def pack(rows: Sequence[Rendered], share_prefix: bool = True) -> Batch:
    """Put rows one behind the other, as far as they are needed; a common beginning goes to the front, once."""
    shared = shared_prefix_tokens(rows) if share_prefix else 0
    ids, positions = list(rows[0].ids[:shared]), list(range(shared))
    spans = [Span(0, shared)] if shared else []
    prefixes = ((0, shared),) if shared else ()
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    for owner, row in enumerate(rows):
        offset = len(ids) - shared  # where the row would begin if its prefix stood in front of it
        needed = needed_tokens(row)
        if needed > shared:
            ids += row.ids[shared:needed]
            positions += range(shared, needed)
            spans.append(Span(offset + shared, len(ids), prefixes))
        for place in range(1, len(row.ids)):  # nothing comes before a row's first token, so nothing predicts it
            if row.trained[place]:
                sources.append(offset + place - 1 if place > shared else shared - 1)
                targets.append(row.ids[place])
                owners.append(owner)
    return Batch(
        torch.tensor(ids), torch.tensor(positions), tuple(spans), torch.tensor(sources, dtype=torch.long),
        torch.tensor(targets, dtype=torch.long), torch.tensor(owners, dtype=torch.long),
        sum(len(row.ids) for row in rows), tuple(row.where for row in rows),
    )
