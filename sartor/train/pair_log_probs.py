"""How likely a model finds the two answers of preference pairs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sartor.base.console import progress
from sartor.data.pairs import Pair, PairBatch, pair_batches
from sartor.train.log_probs import batch_log_probs
from sartor.train.objectives.preference import PairLogProbs


def pair_log_probs(model: nn.Module, batch: PairBatch) -> PairLogProbs:
    """Summed log-probabilities of the batch's answers, differentiable, and the reference's where the batch has them."""
    sums = batch.rows.row_sums(batch_log_probs(model, batch.rows))
    reference = batch.reference
    return PairLogProbs(
        sums[::2],
        sums[1::2],
        batch.tokens[::2],
        batch.tokens[1::2],
        None if reference is None else reference[::2],
        None if reference is None else reference[1::2],
    )


@torch.inference_mode()
def reference_log_probs(model: nn.Module, pairs: Sequence[Pair], micro_batch_tokens: int) -> Tensor:
    """Summed log-probabilities of all pairs' answers under the model as it is, float32 [P, 2], in the pairs' order."""
    device = next(model.parameters()).device
    order = sorted(range(len(pairs)), key=lambda index: pairs[index].num_tokens)  # as pair_batches orders them
    found = torch.zeros(len(pairs), 2)
    done = 0
    with progress("reference model", len(pairs)) as bar:
        for batch in pair_batches(pairs, micro_batch_tokens):
            rows = batch.rows.to(device)
            sums = rows.row_sums(batch_log_probs(model, rows)).cpu().view(-1, 2)
            found[order[done : done + len(sums)]] = sums
            done += len(sums)
            bar.update(done)
    return found
