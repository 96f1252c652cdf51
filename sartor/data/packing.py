"""Rows of tokens packed into one sequence: no padding, no token that nothing depends on, and a beginning that rows
share is there only once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

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


class MicroBatch(Protocol):
    """Some rows of an optimizer step, computed at once."""

    @property
    def where(self) -> tuple[str, ...]: ...
    @property
    def num_tokens(self) -> int:
        """Tokens that are computed."""
        ...

    @property
    def num_row_tokens(self) -> int:
        """Tokens of the rows, as if nothing were shared."""
        ...

    @property
    def num_trained(self) -> int:
        """Tokens that are learnt."""
        ...

    @property
    def num_units(self) -> int:
        """How many of what a step's loss is a mean of: trained tokens, pairs, answers."""
        ...

    def to(self, device: torch.device) -> "MicroBatch": ...


@dataclass(frozen=True)
class Batch:
    """Packed rows.

    ids, positions [T]: tokens and their places in their own row. sources, targets [N]: `targets[i]` is a trained token
    and the state at `sources[i]` predicts it. owners [N]: which row the target belongs to. ends [R]: where each row's
    last needed token stands. `num_row_tokens` counts the rows' tokens as if nothing were shared.
    """

    ids: Tensor
    positions: Tensor
    spans: tuple[Span, ...]
    sources: Tensor
    targets: Tensor
    owners: Tensor
    ends: Tensor
    num_row_tokens: int
    where: tuple[str, ...]

    @property
    def num_tokens(self) -> int:
        return len(self.ids)

    @property
    def num_trained(self) -> int:
        return len(self.targets)

    @property
    def num_units(self) -> int:
        """What a step's loss is a mean of: trained tokens."""
        return self.num_trained

    def to(self, device: torch.device) -> "Batch":
        tensors = ("ids", "positions", "sources", "targets", "owners", "ends")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})

    def row_sums(self, values: Tensor) -> Tensor:
        """Sums over each row's trained tokens: values [N] -> float32 [R], differentiable."""
        return torch.zeros(len(self.ends), device=values.device).index_add(0, self.owners, values.float())


@dataclass(frozen=True)
class RowsBatch:
    """Packed rows with what a way of training knows about them: the part of a `MicroBatch` that the rows answer."""

    rows: Batch

    @property
    def where(self) -> tuple[str, ...]:
        return self.rows.where

    @property
    def num_tokens(self) -> int:
        return self.rows.num_tokens

    @property
    def num_row_tokens(self) -> int:
        return self.rows.num_row_tokens

    @property
    def num_trained(self) -> int:
        return self.rows.num_trained


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
    return pack_groups([[row] for row in rows], share_prefix)


def pack_groups(groups: Sequence[Sequence[Rendered]], share_prefix: bool = True) -> Batch:
    """Put groups of rows one behind the other; what the rows of a group have in common at their beginning (the prompt
    of two rival answers) is there once, and so is what all groups have in common."""
    rows = [row for group in groups for row in group]
    everywhere = shared_prefix_tokens(rows) if share_prefix else 0
    packed = _Packed()
    prefixes = packed.append(rows[0], 0, everywhere, ()) if everywhere else ()
    for group in groups:
        common = shared_prefix_tokens(group) if share_prefix else 0
        if common - everywhere < SHORTEST_SHARED_PREFIX_TOKENS:
            common = everywhere
        before = packed.append(group[0], everywhere, common, prefixes) if common > everywhere else prefixes
        for row in group:
            packed.append_row(row, common, before)
    return packed.batch(rows)


Prefixes = tuple[tuple[int, int], ...]


class _Packed:
    """A batch in the making."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.spans: list[Span] = []
        self.sources: list[int] = []
        self.targets: list[int] = []
        self.owners: list[int] = []
        self.ends: list[int] = []

    def append(self, row: Rendered, first: int, last: int, prefixes: Prefixes) -> Prefixes:
        """Tokens `first` to `last` of the row, which go on from `prefixes`; the prefixes with them."""
        start = len(self.ids)
        self.ids += row.ids[first:last]
        self.positions += range(first, last)
        self.spans.append(Span(start, len(self.ids), prefixes))
        return (*prefixes, (start, len(self.ids)))

    def append_row(self, row: Rendered, shared: int, prefixes: Prefixes) -> None:
        """A row whose first `shared` tokens are those of `prefixes`."""
        needed = needed_tokens(row)
        spans = self.append(row, shared, needed, prefixes) if needed > shared else prefixes
        places = [place for start, end in spans for place in range(start, end)]
        owner = len(self.ends)
        self.ends.append(places[-1])
        for place in range(1, len(row.ids)):  # nothing comes before a row's first token, so nothing predicts it
            if row.trained[place]:
                self.sources.append(places[place - 1])
                self.targets.append(row.ids[place])
                self.owners.append(owner)

    def batch(self, rows: Sequence[Rendered]) -> Batch:
        indices = (self.sources, self.targets, self.owners, self.ends)
        sources, targets, owners, ends = (torch.tensor(values, dtype=torch.long) for values in indices)
        return Batch(
            ids=torch.tensor(self.ids), positions=torch.tensor(self.positions), spans=tuple(self.spans),
            sources=sources, targets=targets, owners=owners, ends=ends,
            num_row_tokens=sum(len(row.ids) for row in rows), where=tuple(row.where for row in rows),
        )  # fmt: skip
