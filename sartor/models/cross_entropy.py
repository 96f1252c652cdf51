"""Next-token cross-entropy summed over positions, with its gradients computed on the way forward.

A mean of log-probabilities has a gradient known up to one factor as soon as the logits are there. So, unlike
`heads.token_log_probs`, whose log-probabilities a loss may use in any way, this computes the gradients of hidden states
and head at once and never the logits again: three matrix products instead of four where the head is trained. Logits
live for some thousand positions at a time, in one buffer.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sartor.models.heads import Head

LOGITS_AT_ONCE = 2**25  # in the model's number format: 64 MiB of bfloat16
EXACT_AT_ONCE = 2**19  # measured: so many float32 logits stay in the processor's cache while they are normalised


@dataclass(frozen=True)
class _Sums:
    loss: Tensor  # Σ -log p(target), float32
    squares: Tensor  # Σ (log Z)², float32


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, head: Head, z_coefficient: float
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        squares = torch.zeros_like(loss)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device) if wants_weight else None
        at_once = min(max(LOGITS_AT_ONCE // len(weight), 1), len(targets))
        room = torch.empty(at_once, len(weight), dtype=hidden.dtype, device=hidden.device)
        for start in range(0, len(targets), at_once):
            chunk = hidden[start : start + at_once]
            logits = torch.mm(chunk, weight.t(), out=room[: len(chunk)])
            sums = _slopes(logits, targets[start : start + at_once], head, z_coefficient)
            loss += sums.loss
            squares += sums.squares
            if grad_hidden is not None:
                torch.mm(logits, weight, out=grad_hidden[start : start + at_once])
            if grad_weight is not None:
                grad_weight += logits.t() @ chunk
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.dtype = weight.dtype
        ctx.mark_non_differentiable(squares)
        return loss + z_coefficient * squares, squares

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        factor = grads[0]
        if grad_hidden is not None:
            grad_hidden = grad_hidden * factor.to(grad_hidden.dtype)
        if grad_weight is not None:
            grad_weight = (grad_weight * factor).to(ctx.dtype)
        return grad_hidden, grad_weight, None, None, None


def _slopes(logits: Tensor, targets: Tensor, head: Head, z_coefficient: float) -> _Sums:
    """Sums over logits [P, V], which are replaced by the derivatives of the loss to them."""
    step = max(EXACT_AT_ONCE // logits.shape[1], 1)
    loss = torch.zeros((), dtype=torch.float32, device=logits.device)
    squares = torch.zeros_like(loss)
    for start in range(0, len(logits), step):
        rows, wanted = logits[start : start + step], targets[start : start + step, None]
        raw = rows.float()
        capped = head.cap(raw)
        normalizers = capped.logsumexp(1, keepdim=True)
        loss += (normalizers - capped.gather(1, wanted)).sum()
        squares += normalizers.square().sum()
        slopes = (capped - normalizers).exp_()
        if z_coefficient:
            slopes *= 1 + 2 * z_coefficient * normalizers
        slopes.scatter_add_(1, wanted, slopes.new_full(wanted.shape, -1.0))
        if head.softcap is not None:
            slopes *= 1 - (capped / head.softcap).square()
        if head.scale != 1.0:
            slopes *= head.scale
        rows.copy_(slopes)
    return _Sums(loss, squares)


def cross_entropy(hidden: Tensor, head: Head, targets: Tensor, z_coefficient: float = 0.0) -> tuple[Tensor, Tensor]:
    """Σ -log p(target) + z_coefficient · Σ (log Z)², and Σ (log Z)² by itself, not differentiable.

    hidden [N, d], targets [N] -> two float32 scalars. The second term keeps the logits' normaliser Z near 1 (z-loss,
    PaLM, 2204.02311, section 5). Gradients are exact for a loss that is any multiple of the sum.
    """
    result: tuple[Tensor, Tensor] = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, targets, head, z_coefficient
    )
    return result
