"""The order in which documents are trained on: a pure function of a number."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sartor.base.errors import DataError
from sartor.data.token_shards.mixture import Turns
from sartor.data.token_shards.reader import TokenSplit

KEPT_EPOCHS = 3
Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Weighted:
    """A source of a mixture; of all windows it gives the share `weight` / (sum of all weights)."""

    split: TokenSplit
    weight: float = 1.0


@dataclass(frozen=True)
class Window:
    """Consecutive tokens of a source's documents.

    `ids` is [window_tokens + 1] int64: token p is the input whose target is token p + 1. `starts` are the places in
    the window where another document begins, 0 always among them and the last place (a target only) perhaps; a token at
    a start is an input but never a target. `where` names the window in messages.
    """

    ids: Ints
    starts: tuple[int, ...]
    where: str


class TokenStream:
    """An endless sequence of windows of `window_tokens` + 1 tokens.

    Each source is a stream of its own: all of its documents in an order drawn for the epoch, then all of them in
    another order, and so on without end. Its window k begins at token k * window_tokens of that stream, so that the
    last token of a window is the first of the source's next one, documents go on from one window to the next, and every
    token is a target once an epoch, a document's first token apart. Which source a window is taken from is
    `mixture.Turns`.

    A window depends on its index, the seed, the weights and the shards alone, whatever was asked before.
    """

    def __init__(self, sources: Sequence[Weighted], window_tokens: int, seed: int):
        if window_tokens < 1:
            raise ValueError(f"a window has at least 1 token, not {window_tokens}")
        for source in sources:
            if source.split.num_tokens == 0:
                hint = "give more documents, or another share of held-out ones"
                raise DataError("holds no documents to train on", where=str(source.split.folder), hint=hint)
        self.sources, self.window_tokens, self.seed = tuple(sources), window_tokens, seed
        self._turns = Turns([source.weight for source in sources])
        self._orders = [_Orders(source.split, seed, number) for number, source in enumerate(sources)]

    @property
    def windows_per_epoch(self) -> int:
        """Tokens of all sources together over tokens of a window: how many windows hold as many tokens as there are."""
        return sum(source.split.num_tokens for source in self.sources) // self.window_tokens

    @property
    def shares(self) -> tuple[float, ...]:
        """The part of the first `windows_per_epoch` windows that each source gives."""
        windows = max(self.windows_per_epoch, 1)
        return tuple(count / windows for count in self._turns.counts(windows))

    def counts(self, windows: int) -> tuple[int, ...]:
        """How many of the first `windows` windows each source gives."""
        return self._turns.counts(windows)

    def window(self, index: int) -> Window:
        """Window `index`, from 0."""
        if index < 0:
            raise IndexError(f"window {index}")
        source, turn = self._turns.turn(index)
        first = turn * self.window_tokens
        ids = np.empty(self.window_tokens + 1, np.int64)
        starts, filled = [0], 0
        for piece, begins in self._orders[source].pieces(first):
            if begins and filled:
                starts.append(filled)
            taken = min(len(piece), len(ids) - filled)
            ids[filled : filled + taken] = piece[:taken]
            filled += taken
            if filled == len(ids):
                break
        return Window(ids, tuple(starts), f"{self.sources[source].split.name} window {index}")


class _Orders:
    """One source's documents in the order of each epoch; those of the last few epochs asked for are kept."""

    def __init__(self, split: TokenSplit, seed: int, source: int):
        self.split, self.seed, self.source = split, seed, source
        self._kept: OrderedDict[int, tuple[Ints, Ints]] = OrderedDict()

    def pieces(self, first: int) -> Iterator[tuple[Any, bool]]:
        """What stands from token `first` of the stream on: `(ids, whether a document begins with them)`, endless."""
        epoch, offset = divmod(first, self.split.num_tokens)
        while True:
            order, ends = self._order(epoch)
            place = int(np.searchsorted(ends, offset, side="right"))
            if offset:
                document = self.split.document(int(order[place]))
                within = len(document) - (int(ends[place]) - offset)
                yield document[within:], within == 0
                place += 1
            for number in order[place:]:
                yield self.split.document(int(number)), True
            epoch, offset = epoch + 1, 0

    def _order(self, epoch: int) -> tuple[Ints, Ints]:
        """Documents in the epoch's order, and where each ends in it, both [documents]."""
        if epoch not in self._kept:
            order = drawn_order(self.split.num_documents, self.seed, epoch, self.source)
            self._kept[epoch] = order, np.cumsum(self.split.lengths[order])
            if len(self._kept) > KEPT_EPOCHS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(epoch)
        return self._kept[epoch]


def drawn_order(count: int, seed: int, epoch: int, source: int) -> Ints:
    """A permutation of 0 ... count - 1 that is the same on every machine and for every version of numpy: the numbers
    sorted by SplitMix64's outputs (Steele, Lea, Flood 2014) from a state that the three arguments make."""
    state = np.zeros(1, np.uint64)
    for value in (seed, epoch, source):
        state = _mixed(state + np.uint64(value % 2**64) + _STEP)
    return np.argsort(_mixed(state + _STEP * np.arange(1, count + 1, dtype=np.uint64)), kind="stable")


_STEP = np.uint64(0x9E3779B97F4A7C15)


def _mixed(values: Any) -> Any:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
