"""What running text teaches, and how well a model knows it: the loss and the held-out measures of pre-training."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sartor.data.packing import Batch
from sartor.models.cross_entropy import cross_entropy
from sartor.models.heads import Head
from sartor.train.log_probs import batch_log_probs, batch_states
from sartor.train.loop import LossOf


def running_text_loss(z_coefficient: float) -> LossOf:
    """Mean cross-entropy of the next token, plus `z_coefficient` times the mean squared log-normaliser."""

    return lambda model, batch, num_trained: batch_loss(model, batch, num_trained, z_coefficient)


def batch_loss(
    model: nn.Module, batch: Batch, num_trained: int, z_coefficient: float
) -> tuple[Tensor, dict[str, float]]:
    """The share of a micro-batch in the loss of a step with `num_trained` trained tokens; metrics to be summed."""
    states = batch_states(model, batch)[batch.sources]
    total, squares = cross_entropy(states, Head.of(model), batch.targets, z_coefficient)  # type: ignore[arg-type]
    loss, squares = total / num_trained, squares / num_trained
    metrics = {"loss": float(loss.detach() - z_coefficient * squares)}
    if z_coefficient:
        metrics["log_normalizer_squared"] = float(squares)
    return loss, metrics


class HeldOutText:
    """Held-out windows, packed. `bytes_of` [V] are the bytes that each token stands for, 0 for control tokens."""

    def __init__(self, batches: Sequence[Batch], bytes_of: Tensor):
        self.batches, self.bytes_of = list(batches), bytes_of
        self.num_tokens = sum(batch.num_trained for batch in self.batches)
        self.num_bytes = sum(int(bytes_of[batch.targets].sum()) for batch in self.batches)

    @torch.inference_mode()
    def __call__(self, model: nn.Module) -> dict[str, float]:
        """`dev_loss`: nats a token. `dev_bits_per_byte`: bits for each byte of text, control tokens left out of both
        sums, so that models with other tokenizers can be compared."""
        device = next(model.parameters()).device
        nats = text_nats = 0.0
        for batch in self.batches:
            log_probs = batch_log_probs(model, batch.to(device)).double().cpu()
            nats -= float(log_probs.sum())
            text_nats -= float(log_probs[self.bytes_of[batch.targets] > 0].sum())
        return {
            "dev_loss": nats / self.num_tokens,
            "dev_bits_per_byte": text_nats / math.log(2) / self.num_bytes,
        }
