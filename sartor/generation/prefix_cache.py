"""Keys and values of earlier prompts and their answers, for prompts that begin as they did.

A chat's next question repeats all that was said, and requests of one application repeat its system prompt: what is the
same at the beginning is copied instead of computed. A token's keys and values depend on nothing but the tokens up to
it (and on the adapter), so this is exact. It holds for one state of the weights.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FEWEST_TOKENS = 16  # assumed: fewer are computed as quickly as they are found


@dataclass
class PrefixCounts:
    """Since the engine began: prompts that were looked up, those that something was found for, their tokens, and how
    many of these were copied."""

    prompts: int = 0
    hits: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0


@dataclass(eq=False)
class _Entry:
    adapter: str | None
    ids: NDArray[np.int64]
    states: Tensor  # [layers, 2, key_heads, tokens, width]


class PrefixCache:
    """At most `max_tokens` tokens are kept; what was not used for the longest time goes first."""

    def __init__(self, max_tokens: int):
        self.max_tokens = max_tokens
        self.counts = PrefixCounts()
        self.num_tokens = 0
        self._entries: OrderedDict[int, _Entry] = OrderedDict()  # by number, the last used at the end
        self._next = 0

    def find(self, adapter: str | None, prompt: Sequence[int]) -> Tensor | None:
        """Keys and values [layers, 2, key_heads, n, width] of the longest known beginning that leaves the prompt a
        token of its own; None where there is none worth it."""
        wanted = np.asarray(prompt[:-1], dtype=np.int64)
        self.counts.prompts += 1
        self.counts.prompt_tokens += len(prompt)
        best, length = None, FEWEST_TOKENS - 1
        for number, entry in self._entries.items():
            if entry.adapter == adapter and (common := _common(entry.ids, wanted)) > length:
                best, length = number, common
        if best is None:
            return None
        self._entries.move_to_end(best)
        self.counts.hits += 1
        self.counts.reused_tokens += length
        return self._entries[best].states[:, :, :, :length]

    @torch.inference_mode()
    def keep(self, adapter: str | None, ids: Sequence[int], states: Tensor) -> None:
        """Keep a copy of the keys and values [layers, 2, key_heads, n, width] of these n tokens."""
        if not FEWEST_TOKENS <= len(ids) <= self.max_tokens:
            return
        new = np.asarray(ids, dtype=np.int64)
        for number, entry in list(self._entries.items()):
            if entry.adapter != adapter:
                continue
            common = _common(entry.ids, new)
            if common == len(new):  # known already
                self._entries.move_to_end(number)
                return
            if common == len(entry.ids):  # the new one goes on from it
                self._drop(number)
        while self.num_tokens + len(new) > self.max_tokens:
            self._drop(next(iter(self._entries)))
        self._entries[self._next] = _Entry(adapter, new, states.clone(memory_format=torch.contiguous_format))
        self._next += 1
        self.num_tokens += len(new)

    def clear(self) -> None:
        """Forget everything, as it must be when the weights have changed."""
        self._entries.clear()
        self.num_tokens = 0

    def _drop(self, number: int) -> None:
        self.num_tokens -= len(self._entries.pop(number).ids)


def _common(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    """How many tokens two rows have in common at their beginning."""
    length = min(len(a), len(b))
    different = a[:length] != b[:length]
    return int(different.argmax()) if different.any() else length
