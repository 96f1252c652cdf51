"""From hidden states to the log-probabilities of given tokens, without ever holding the full logit matrix.

The logits of a position are needed for a moment only: the gradient of log p(target) to the hidden state,
u = W[target] - Σ_v p_v W[v], is one vector, whatever the loss later does with the log-probability. So each chunk of
positions is projected, normalised and reduced to its log-probability and its u, and the logits are dropped.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

CHUNK_POSITIONS = 128  # measured: large enough for the matrix product, small enough for the processor's cache


@dataclass(frozen=True)
class Head:
    """logits = softcap(scale · hidden weightᵀ) with weight [V, d]; bias-free, as in every family we train."""

    weight: Tensor
    scale: float = 1.0
    softcap: float | None = None

    @staticmethod
    def of(model: PreTrainedModel) -> "Head":
        config = model.config
        scale = 1.0 / getattr(config, "logits_scaling", 1.0) * getattr(config, "logit_scale", 1.0)
        return Head(model.get_output_embeddings().weight, scale, getattr(config, "final_logit_softcapping", None))

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [N, d] -> float32 [N, V]."""
        return self.cap((hidden @ self.weight.t()).float())

    def cap(self, raw: Tensor) -> Tensor:
        if self.scale != 1.0:
            raw = raw * self.scale
        return raw if self.softcap is None else torch.tanh(raw / self.softcap) * self.softcap


class _TokenLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, head: Head, temperature: float
    ) -> Tensor:
        needs_grad = hidden.requires_grad or weight.requires_grad
        log_probs = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        slopes = torch.empty_like(hidden) if needs_grad else None
        for start in range(0, len(targets), CHUNK_POSITIONS):
            chunk = slice(start, start + CHUNK_POSITIONS)
            log_probs[chunk], slope = _chunk(hidden[chunk], head, targets[chunk], temperature, needs_grad)
            if slopes is not None and slope is not None:
                slopes[chunk] = slope @ weight
        ctx.save_for_backward(hidden, weight, targets, slopes)
        ctx.head, ctx.temperature = head, temperature
        return log_probs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        hidden, weight, targets, slopes = ctx.saved_tensors
        grad_hidden = slopes * grad[:, None].to(slopes.dtype)
        if not ctx.needs_input_grad[1]:
            return grad_hidden, None, None, None, None
        grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        for start in range(0, len(targets), CHUNK_POSITIONS):
            chunk = slice(start, start + CHUNK_POSITIONS)
            _, slope = _chunk(hidden[chunk], ctx.head, targets[chunk], ctx.temperature, True)
            assert slope is not None
            grad_weight += (slope * grad[chunk, None].to(slope.dtype)).t() @ hidden[chunk]
        return grad_hidden, grad_weight.to(weight.dtype), None, None, None


def _chunk(
    hidden: Tensor, head: Head, targets: Tensor, temperature: float, want_slope: bool
) -> tuple[Tensor, Tensor | None]:
    """log p(target) float32 [n] and, if wanted, its derivative to the raw logits [n, V] in the weight's type."""
    logits = head.logits(hidden)
    shifted = logits / temperature if temperature != 1.0 else logits
    normalizer = torch.logsumexp(shifted, -1, keepdim=True)
    at_target = shifted.gather(1, targets[:, None])
    log_probs = (at_target - normalizer)[:, 0]
    if not want_slope:
        return log_probs, None
    cap_slope = None if head.softcap is None else 1 - (logits / head.softcap) ** 2
    slope = (shifted - normalizer).exp_().neg_()
    slope.scatter_add_(1, targets[:, None], torch.ones_like(at_target))
    if cap_slope is not None:
        slope.mul_(cap_slope)
    if (factor := head.scale / temperature) != 1.0:
        slope.mul_(factor)
    return log_probs, slope.to(head.weight.dtype)


def token_log_probs(hidden: Tensor, head: Head, targets: Tensor, temperature: float = 1.0) -> Tensor:
    """log p(target) at each position: hidden [N, d], targets [N] -> float32 [N], differentiable.

    `temperature` divides the logits, as sampling does.
    """
    result: Tensor = _TokenLogProbs.apply(hidden, head.weight, targets, head, temperature)  # type: ignore[no-untyped-call]
    return result
