"""From rendered rows to the batches of each optimizer step: a pure function of the seed and the step number.

Nothing remembers where it is in the data, so a resumed run reads exactly the rows an uninterrupted one would have.
"""

from collections.abc import Sequence

import numpy as np

from sartor.data.chat import Rendered
from sartor.data.packing import Batch, pack


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
        self.rows, self.rows_per_step, self.micro_batch_tokens = list(rows), rows_per_step, micro_batch_tokens
        self.seed, self.share_prefix, self.processes = seed, share_prefix, processes

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.rows) // self.rows_per_step)

    def rows_of(self, step: int) -> list[Rendered]:
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.Generator(np.random.Philox([self.seed, epoch])).permutation(len(self.rows))
        chosen = order[place * self.rows_per_step : (place + 1) * self.rows_per_step]
        return [self.rows[index] for index in chosen]

    def step(self, step: int) -> list[Batch]:
        """The micro-batches of 0-based optimizer step `step`."""
        return [
            batch
            for share in shares(self.rows_of(step), self.processes)
            for batch in micro_batches(share, self.micro_batch_tokens, self.share_prefix)
        ]


def shares(rows: Sequence[Rendered], number: int) -> list[Sequence[Rendered]]:
    """The rows in `number` parts of about as many tokens (fewer where there are fewer rows): the longest go round
    first, there and back."""
    if number == 1:
        return [rows]
    parts: list[list[Rendered]] = [[] for _ in range(number)]
    for place, row in enumerate(sorted(rows, key=lambda row: -len(row.ids))):
        turn, seat = divmod(place, number)
        parts[seat if turn % 2 == 0 else number - 1 - seat].append(row)
    return [part for part in parts if part]


def micro_batches(rows: Sequence[Rendered], max_tokens: int, share_prefix: bool = True) -> list[Batch]:
    """Rows of similar length together, at most `max_tokens` tokens a batch."""
    batches: list[Batch] = []
    group: list[Rendered] = []
    tokens = 0
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if group and tokens + len(row.ids) > max_tokens:
            batches.append(pack(group, share_prefix))
            group, tokens = [], 0
        group.append(row)
        tokens += len(row.ids)
    if group:
        batches.append(pack(group, share_prefix))
    return batches
