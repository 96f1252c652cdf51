"""How likely a model finds given rows, without gradients, and how sure one can be that another finds them likelier."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sartor.data.batches import micro_batches
from sartor.data.chat import Rendered
from sartor.train.log_probs import batch_log_probs

Floats = NDArray[np.float64]


def mean_loss(model: nn.Module, rows: Sequence[Rendered], micro_batch_tokens: int) -> float:
    """Mean cross-entropy (nats) over all trained tokens of the rows."""
    return float(row_losses(model, rows, micro_batch_tokens).sum()) / sum(row.num_trained for row in rows)


@torch.inference_mode()
def row_losses(model: nn.Module, rows: Sequence[Rendered], micro_batch_tokens: int) -> Floats:
    """Cross-entropy (nats) of each row, summed over its trained tokens, in the rows' order."""
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))  # as micro_batches orders them
    losses = np.zeros(len(rows))
    done = 0
    for batch in micro_batches(rows, micro_batch_tokens):
        moved = batch.to(device)
        sums = torch.zeros(len(batch.where), dtype=torch.float64, device=device)
        sums.index_add_(0, moved.owners, batch_log_probs(model, moved).double())
        losses[order[done : done + len(batch.where)]] = -sums.cpu().numpy()
        done += len(batch.where)
    return losses


def paired_difference(a: Floats, b: Floats, sizes: Floats) -> tuple[float, float]:
    """Σa / Σsizes − Σb / Σsizes over the same rows, and its standard error from what varies between rows.

    The error is the linearised one of a ratio of sums (Cochran 1977, Sampling Techniques, 6.4): rows are the sample,
    and long rows weigh more. Infinite for a single row.
    """
    count, total = len(sizes), float(sizes.sum())
    difference = float((a - b).sum()) / total
    if count < 2:
        return difference, math.inf
    rest = (a - b) - difference * sizes
    return difference, math.sqrt(count / (count - 1) * float((rest**2).sum())) / total
