"""Windows of running text as packed batches: what pre-training learns from.

Documents in a window do not see each other, and the first token of a document is never predicted from the one before.
"""

from collections.abc import Sequence

import numpy as np
import torch

from sartor.data.packing import Batch, Span
from sartor.data.token_shards.stream import TokenStream, Window, drawn_order

WINDOW_ORDER = -1  # tells this order from those of the sources' documents, which are numbered from 0


def pack_windows(windows: Sequence[Window]) -> Batch:
    """Windows one behind the other. Each document's part in a window is a row of its own: it begins at position 0 and
    sees nothing but itself; all its tokens but the last are predicted from (the last is the next window's)."""
    ids, positions, sources, targets, owners, ends = [], [], [], [], [], []
    spans: list[Span] = []
    start = 0
    for window in windows:
        inputs, after = window.ids[:-1], window.ids[1:]
        bounds = [*(place for place in window.starts if place < len(inputs)), len(inputs)]
        lengths = np.diff(bounds)
        counted = np.ones(len(inputs), dtype=bool)  # a document's first token is no target
        counted[[place - 1 for place in window.starts if place > 0]] = False
        places = np.arange(len(inputs))
        ids.append(inputs)
        positions.append(places - np.repeat(bounds[:-1], lengths))
        sources.append(start + places[counted])
        targets.append(after[counted])
        owners.append(np.repeat(np.arange(len(lengths)) + len(spans), lengths)[counted])
        spans += [Span(start + first, start + last) for first, last in zip(bounds, bounds[1:], strict=False)]
        ends += [start + last - 1 for last in bounds[1:]]
        start += len(inputs)

    def joined(parts: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate(parts).astype(np.int64))

    return Batch(
        ids=joined(ids),
        positions=joined(positions),
        spans=tuple(spans),
        sources=joined(sources),
        targets=joined(targets),
        owners=joined(owners),
        ends=torch.tensor(ends),
        num_row_tokens=start,
        where=tuple(window.where for window in windows),
    )


class WindowSource:
    """The micro-batches of each step: `windows_per_step` windows of a stream, at most `micro_batch_tokens` tokens at
    once (but at least a window). A pure function of the step.

    The windows of an epoch come in an order drawn for it: neighbours would mostly be of the same document, and a step
    should see many.
    """

    def __init__(self, stream: TokenStream, windows_per_step: int, micro_batch_tokens: int):
        self.stream, self.windows_per_step = stream, windows_per_step
        self.windows_at_once = max(1, micro_batch_tokens // stream.window_tokens)
        self.steps_asked = 0  # the number of the step asked for last, from 1
        self._windows_per_epoch = max(1, stream.windows_per_epoch)
        self._order = (-1, np.empty(0, np.int64))  # of which epoch, and the windows' places in it

    def step(self, step: int) -> list[Batch]:
        self.steps_asked = step + 1
        first = step * self.windows_per_step
        return self.batches([self._drawn(place) for place in range(first, first + self.windows_per_step)])

    def batches(self, windows: Sequence[int]) -> list[Batch]:
        """The windows of those numbers, packed as many at once as fit, in parts of about equal size."""
        parts = -(-len(windows) // self.windows_at_once)
        bounds = [len(windows) * part // parts for part in range(parts + 1)]
        return [
            pack_windows([self.stream.window(index) for index in windows[first:last]])
            for first, last in zip(bounds, bounds[1:], strict=False)
        ]

    def _drawn(self, place: int) -> int:
        """The window that is read at `place`."""
        epoch, within = divmod(place, self._windows_per_epoch)
        if epoch != self._order[0]:
            self._order = epoch, drawn_order(self._windows_per_epoch, self.stream.seed, epoch, WINDOW_ORDER)
        return epoch * self._windows_per_epoch + int(self._order[1][within])
