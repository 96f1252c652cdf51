"""Preference pairs as token rows: two answers to one prompt, which is computed once for both.

A pair can be read in two ways. To compare how likely the answers are (DPO), their tokens are trained and nothing of
the prompt is, not even what the assistant said in it. To score them (a reward model), each row ends with its
end-of-turn token, and what the model makes of the row is read there. An answer that was cut at its greatest length
never said its end of turn: that token stands behind it, and is not trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sartor.base.errors import DataError
from sartor.data.batches import StepOrder, of_similar_length, shares
from sartor.data.chat import ASKS_OTHERWISE, ASKS_OTHERWISE_HINT, ChatFormat, Rendered
from sartor.data.packing import RowsBatch, pack_groups
from sartor.data.records import Conversation, Preference


@dataclass(frozen=True)
class Pair:
    """`reference` holds the answers' summed log-probabilities under the reference model, where they are known."""

    chosen: Rendered
    rejected: Rendered
    reference: tuple[float, float] | None = None

    @property
    def num_tokens(self) -> int:
        return len(self.chosen.ids) + len(self.rejected.ids)

    @property
    def num_trained(self) -> int:
        return self.chosen.num_trained + self.rejected.num_trained

    @property
    def longest(self) -> int:
        return max(len(self.chosen.ids), len(self.rejected.ids))

    @property
    def where(self) -> str:
        return self.chosen.where


def render_pair(preference: Preference, chat: ChatFormat) -> Pair:
    """The pair with its answers' tokens trained, each up to its end of turn, which is not trained where it was cut."""
    chosen, rejected = (
        render_answer(preference.prompt, side, preference.where, chat)
        for side in (preference.chosen, preference.rejected)
    )
    chosen_is_cut, rejected_is_cut = preference.is_cut
    return Pair(
        _end_not_trained(chosen, chat) if chosen_is_cut else chosen,
        _end_not_trained(rejected, chat) if rejected_is_cut else rejected,
    )


def render_answer(prompt: Conversation, answer: Conversation, where: str, chat: ChatFormat) -> Rendered:
    """Prompt and answer as one row, of which the answer's tokens are trained, up to its end of turn. DataError where
    the model's template cannot write it so."""
    rows = chat.render([*prompt, *answer], where)
    if len(rows) > 1 and len(answer) > 1:
        raise DataError(
            "the model's chat template rewrites earlier turns, so answers of several turns cannot be compared",
            where=where,
            hint="end the prompt where the last answer begins",
        )
    row, asked = rows[-1], chat.prompt(prompt)
    if row.ids[: len(asked)] != asked:
        raise DataError(ASKS_OTHERWISE, where=where, hint=ASKS_OTHERWISE_HINT)
    trained = [learnt and place >= len(asked) for place, learnt in enumerate(row.trained)]
    return up_to_end_of_turn(Rendered(row.ids, trained, row.where))


def up_to_end_of_turn(row: Rendered) -> Rendered:
    """Without what templates write behind the last turn (a line break): nothing is learnt of it."""
    end = max((place + 1 for place, trained in enumerate(row.trained) if trained), default=len(row.ids))
    return replace(row, ids=row.ids[:end], trained=row.trained[:end])


def _end_not_trained(row: Rendered, chat: ChatFormat) -> Rendered:
    return replace(row, trained=[*row.trained[:-1], row.trained[-1] and row.ids[-1] not in chat.stop_ids])


def scored(pair: Pair) -> Pair:
    """The pair as a reward model reads it: nothing is predicted, both rows are needed to their last token."""
    chosen, rejected = (replace(row, trained=[False] * len(row.ids)) for row in (pair.chosen, pair.rejected))
    return Pair(chosen, rejected)


@dataclass(frozen=True)
class PairBatch(RowsBatch):
    """Packed pairs: rows 2i and 2i + 1 of `rows` are the chosen and the rejected answer of pair i.

    tokens [2P]: each answer's trained tokens. reference [2P]: their log-probabilities under the reference model.
    """

    tokens: Tensor
    reference: Tensor | None

    @staticmethod
    def of(pairs: Sequence[Pair]) -> "PairBatch":
        sides = [row for pair in pairs for row in (pair.chosen, pair.rejected)]
        known = [value for pair in pairs if pair.reference is not None for value in pair.reference]
        return PairBatch(
            pack_groups([(pair.chosen, pair.rejected) for pair in pairs]),
            torch.tensor([row.num_trained for row in sides]),
            torch.tensor(known) if len(known) == len(sides) else None,
        )

    @property
    def where(self) -> tuple[str, ...]:
        return self.rows.where[::2]

    @property
    def num_units(self) -> int:
        return len(self.rows.ends) // 2

    def to(self, device: torch.device) -> "PairBatch":
        reference = None if self.reference is None else self.reference.to(device)
        return PairBatch(self.rows.to(device), self.tokens.to(device), reference)


class PairSource:
    """`pairs_per_step` pairs make an optimizer step; otherwise as `BatchSource`."""

    def __init__(
        self, pairs: Sequence[Pair], pairs_per_step: int, micro_batch_tokens: int, seed: int, processes: int = 1
    ):
        self.rows, self.micro_batch_tokens, self.processes = list(pairs), micro_batch_tokens, processes
        self.order = StepOrder(len(self.rows), pairs_per_step, seed)

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    def rows_of(self, step: int) -> list[Pair]:
        return [self.rows[index] for index in self.order.indices(step)]

    def step(self, step: int) -> list[PairBatch]:
        """The micro-batches of 0-based optimizer step `step`."""
        return [
            batch
            for share in shares(self.rows_of(step), self.processes)
            for batch in pair_batches(share, self.micro_batch_tokens)
        ]


def pair_batches(pairs: Sequence[Pair], max_tokens: int) -> list[PairBatch]:
    """Pairs of similar length together, at most `max_tokens` tokens a batch."""
    return [PairBatch.of(group) for group in of_similar_length(pairs, max_tokens)]
