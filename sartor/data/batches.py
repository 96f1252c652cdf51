"""From rendered rows to the batches of each optimizer step: a pure function of the seed and the step number.

Nothing remembers where it is in the data, so a resumed run reads exactly the rows an uninterrupted one would have.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sartor.data.chat import Rendered
from sartor.data.packing import Batch, pack


class Sized(Protocol):
    """Something to learn from: a row, or the two rows of a pair."""

    @property
    def num_tokens(self) -> int: ...
    @property
    def num_trained(self) -> int: ...


SizedType = TypeVar("SizedType", bound=Sized)


class StepOrder:
    """Which of `count` things each step takes, `per_step` of them. Every epoch visits each once, in a new order. The
    order of the epoch that was asked for last is kept, so that a step costs no more than its own things."""

    def __init__(self, count: int, per_step: int, seed: int):
        self.count, self.per_step, self.seed = count, per_step, seed
        self._drawn: tuple[int, NDArray[np.int64]] | None = None  # an epoch and its order

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.count // self.per_step)

    def indices(self, step: int) -> list[int]:
        epoch, place = divmod(step, self.steps_per_epoch)
        order = self._order_of(epoch)
        return [int(index) for index in order[place * self.per_step : (place + 1) * self.per_step]]

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = epoch, np.random.Generator(np.random.Philox([self.seed, epoch])).permutation(self.count)
        return self._drawn[1]


class BatchSource:
    """`rows_per_step` rows make an optimizer step; they are cut into packed micro-batches of at most
    `micro_batch_tokens` tokens each (a longer row stands alone). Every epoch visits every row once, in a new order.
    Where several `processes` compute a step, its rows are first divided so that each has as much to do.
    """

    def __init__(
        self,
        rows: Sequence[Rendered],
        rows_per_step: int,
        micro_batch_tokens: int,
        seed: int,
        share_prefix: bool = True,
        processes: int = 1,
    ):
        self.rows, self.micro_batch_tokens = list(rows), micro_batch_tokens
        self.order = StepOrder(len(self.rows), rows_per_step, seed)
        self.share_prefix, self.processes = share_prefix, processes

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    def rows_of(self, step: int) -> list[Rendered]:
        return [self.rows[index] for index in self.order.indices(step)]

    def step(self, step: int) -> list[Batch]:
        """The micro-batches of 0-based optimizer step `step`."""
        return [
            batch
            for share in shares(self.rows_of(step), self.processes)
            for batch in micro_batches(share, self.micro_batch_tokens, self.share_prefix)
        ]


def shares(rows: Sequence[SizedType], number: int) -> list[Sequence[SizedType]]:
    """The rows in `number` parts of about as many tokens (fewer where there are fewer rows): the longest go round
    first, there and back."""
    if number == 1:
        return [rows]
    parts: list[list[SizedType]] = [[] for _ in range(number)]
    for place, row in enumerate(sorted(rows, key=lambda row: -row.num_tokens)):
        turn, seat = divmod(place, number)
        parts[seat if turn % 2 == 0 else number - 1 - seat].append(row)
    return [part for part in parts if part]


def micro_batches(rows: Sequence[Rendered], max_tokens: int, share_prefix: bool = True) -> list[Batch]:
    """Rows of similar length together, at most `max_tokens` tokens a batch."""
    return [pack(group, share_prefix) for group in of_similar_length(rows, max_tokens)]


def of_similar_length(rows: Sequence[SizedType], max_tokens: int) -> list[list[SizedType]]:
    """The rows in order of length, cut into groups of at most `max_tokens` tokens (a longer row stands alone)."""
    groups: list[list[SizedType]] = []
    tokens = 0
    for row in sorted(rows, key=lambda row: row.num_tokens):
        if not groups or tokens + row.num_tokens > max_tokens:
            groups.append([])
            tokens = 0
        groups[-1].append(row)
        tokens += row.num_tokens
    return groups


def sample_rows(rows: Sequence[SizedType], most_tokens: int) -> list[SizedType]:
    """Rows of about `most_tokens` tokens together, of all lengths alike and with the longest; all if they are fewer."""
    ordered = sorted(rows, key=lambda row: row.num_tokens, reverse=True)
    every = -(-sum(row.num_tokens for row in rows) // most_tokens)
    return ordered[:: max(every, 1)]
