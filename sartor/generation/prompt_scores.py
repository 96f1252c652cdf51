"""How likely the tokens of a prompt are: what `echo` with log-probabilities and likelihood tasks ask for."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sartor.generation.events import PromptScores, TopTokens
from sartor.models.heads import Head

LOGITS_AT_ONCE = 2**23  # 32 MB in float32: the logits of a long prompt are never there at once


class PromptScoring:
    """Collects the scores of a prompt's tokens while it is read piece by piece.

    `num_top` of the likeliest tokens are kept in each place. The log-probabilities are those of the model as it is:
    temperature 1, without penalties or bias.
    """

    def __init__(self, ids: Sequence[int], num_top: int):
        self.ids, self.num_top = ids, num_top
        self._log_probs: list[float | None] = []
        self._top: list[TopTokens] = []

    @property
    def complete(self) -> bool:
        return len(self._log_probs) == len(self.ids)

    @property
    def result(self) -> PromptScores:
        assert self.complete, "the prompt has not been read to its end"
        return PromptScores(tuple(self._log_probs), tuple(self._top))

    def add(self, states: Tensor, first: int, head: Head) -> None:
        """The hidden states [n, d] of tokens `first` to `first + n`, each of which tells of the token behind it."""
        step = max(1, LOGITS_AT_ONCE // len(head.weight))
        for start in range(0, len(states), step):
            self.add_logits(head.logits(states[start : start + step]), first + start)

    def add_logits(self, logits: Tensor, first: int) -> None:
        """The logits [n, V] behind tokens `first` to `first + n`."""
        if first == 0:
            self._log_probs, self._top = [None], [()]
        targets = self.ids[first + 1 : first + 1 + len(logits)]
        logits = logits[: len(targets)]
        totals = logits.logsumexp(-1, keepdim=True)
        chosen = logits.gather(1, torch.tensor(targets, device=logits.device)[:, None]) - totals
        self._log_probs += chosen[:, 0].tolist()
        values, tokens = logits.topk(min(self.num_top, logits.shape[1]), -1)
        for row_tokens, row_values in zip(tokens.tolist(), (values - totals).tolist(), strict=True):
            self._top.append(tuple(zip(row_tokens, row_values, strict=True)))
