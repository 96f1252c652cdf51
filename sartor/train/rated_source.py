"""The batches of KTO: each step's answers, and how far the policy as it is has moved on answers to other prompts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sartor.base.console import progress
from sartor.data.batches import StepOrder, of_similar_length, shares
from sartor.data.chat import Rendered
from sartor.data.packing import RowsBatch, pack
from sartor.data.rated import Rated
from sartor.train.actors import without_dropout
from sartor.train.log_probs import batch_log_probs
from sartor.train.objectives.preference import kto_divergence

ROWS_AT_ONCE = 256  # between two looks at the clock


class Divergence:
    """KTO's estimate of how far the policy is from the reference, by the rows' answers under other prompts: computed
    when the first of a step's micro-batches asks, so with the weights that the whole step has."""

    def __init__(self, rows: Sequence[Rated], micro_batch_tokens: int):
        self.rows, self.micro_batch_tokens = rows, micro_batch_tokens
        self._known: float | None = None

    def of(self, policy: nn.Module) -> float:
        """Nats an answer, at least 0."""
        if self._known is None:
            with without_dropout(policy):
                moved = answer_log_probs(policy, [each.elsewhere for each in self.rows], self.micro_batch_tokens)
            reference = torch.tensor([each.reference[1] for each in self.rows if each.reference is not None])
            self._known = kto_divergence(moved, reference)
        return self._known


@dataclass(frozen=True)
class RatedBatch(RowsBatch):
    """Packed answers [R]: which are desirable, their reference log-probabilities, and the whole step's divergence."""

    desirable: Tensor
    reference: Tensor
    divergence: Divergence

    @staticmethod
    def of(rated: Sequence[Rated], divergence: Divergence) -> "RatedBatch":
        known = [each.reference[0] for each in rated if each.reference is not None]
        desirable = torch.tensor([each.desirable for each in rated])
        return RatedBatch(pack([each.row for each in rated]), desirable, torch.tensor(known), divergence)

    @property
    def num_units(self) -> int:
        return len(self.desirable)

    def to(self, device: torch.device) -> "RatedBatch":
        rows = self.rows.to(device)
        return RatedBatch(rows, self.desirable.to(device), self.reference.to(device), self.divergence)


class RatedSource:
    """As `BatchSource`; the divergence is of the whole step, so that it does not depend on the micro-batches."""

    def __init__(self, rows: Sequence[Rated], rows_per_step: int, micro_batch_tokens: int, seed: int, processes: int):
        self.rows, self.micro_batch_tokens, self.processes = list(rows), micro_batch_tokens, processes
        self.order = StepOrder(len(self.rows), rows_per_step, seed)

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    def rows_of(self, step: int) -> list[Rated]:
        return [self.rows[index] for index in self.order.indices(step)]

    def step(self, step: int) -> list[RatedBatch]:
        """The micro-batches of 0-based optimizer step `step`."""
        rows = self.rows_of(step)
        divergence = Divergence(rows, self.micro_batch_tokens)
        return [batch for share in shares(rows, self.processes) for batch in rated_batches(share, divergence)]


def rated_batches(rows: Sequence[Rated], divergence: Divergence) -> list[RatedBatch]:
    """Rows of similar length together, at most as many tokens a batch as the divergence is computed in."""
    return [RatedBatch.of(group, divergence) for group in of_similar_length(rows, divergence.micro_batch_tokens)]


def rated_reference(model: nn.Module, rows: Sequence[Rated], micro_batch_tokens: int) -> Tensor:
    """Summed log-probabilities of all answers, with their own prompt and with another, under the model as it is:
    float32 [R, 2], in the rows' order."""
    found = []
    with progress("reference model", len(rows)) as bar:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            columns = ([each.row for each in part], [each.elsewhere for each in part])
            found.append(torch.stack([answer_log_probs(model, each, micro_batch_tokens) for each in columns], 1))
            bar.update(start + len(part))
    return torch.cat(found)


@torch.no_grad()
def answer_log_probs(model: nn.Module, rows: Sequence[Rendered], micro_batch_tokens: int) -> Tensor:
    """Summed log-probabilities of the rows' trained tokens, float32 [R], in the rows' order."""
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda index: rows[index].num_tokens)  # as of_similar_length orders them
    found = torch.zeros(len(rows))
    done = 0
    for group in of_similar_length(rows, micro_batch_tokens):
        batch = pack(group).to(device)
        found[order[done : done + len(group)]] = batch.row_sums(batch_log_probs(model, batch)).cpu()
        done += len(group)
    return found
