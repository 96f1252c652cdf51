"""How likely a model finds given rows, without gradients."""

from collections.abc import Sequence

import torch
from torch import nn

from sartor.data.batches import micro_batches
from sartor.data.chat import Rendered
from sartor.train.log_probs import batch_log_probs


@torch.inference_mode()
def mean_loss(model: nn.Module, rows: Sequence[Rendered], micro_batch_tokens: int) -> float:
    """Mean cross-entropy (nats) over all trained tokens of the rows."""
    device = next(model.parameters()).device
    total, count = 0.0, 0
    for batch in micro_batches(rows, micro_batch_tokens):
        total -= float(batch_log_probs(model, batch.to(device)).sum())
        count += batch.num_trained
    return total / count
