"""Weight-decomposed low-rank adaptation (DoRA, Liu et al. 2024, 2402.09353): W' = m · (W + s B A) / ‖W + s B A‖, where
each output has a norm of its own (over its row of W) and a trained magnitude m.

The norm is a constant to the gradient (section 4.3), so all this costs is one factor m / ‖·‖ on each output of a layer
that already has its LoRA branch.
"""

from typing import Any

import torch
from torch import Tensor, nn


class _Scale(torch.autograd.Function):
    """product [T, out], excess [out], magnitude [out] -> (1 + excess) · product, in the product's own memory.

    `excess` is m / norm - 1: close to zero it keeps digits in bfloat16 that the factor itself would lose (a factor
    within 0.2 % of 1 still vanishes as the bfloat16 result is rounded, though not from the gradients). Only the result
    is saved; the derivative to m, the sum over T of grad · product / norm, equals that of grad · result / m.
    """

    @staticmethod
    def forward(ctx: Any, product: Tensor, excess: Tensor, magnitude: Tensor) -> Tensor:  # type: ignore[override]
        excess = excess.to(product.dtype)
        product.addcmul_(product, excess)
        ctx.mark_dirty(product)
        ctx.save_for_backward(product, excess, magnitude)
        return product

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        result, excess, magnitude = ctx.saved_tensors
        total = (grad * result).sum(0, dtype=torch.float32)
        # An output whose magnitude is zero is zero: nothing can be learnt from it.
        grad_magnitude = torch.where(magnitude == 0, 0, total / magnitude)
        return torch.addcmul(grad, grad, excess), None, grad_magnitude


class Magnitude(nn.Module):
    """The magnitudes of one layer, float32 [out]; they begin as the norms of its frozen weight, so that nothing
    changes at first."""

    squares: Tensor  # float32 [out]: the squared norms of the frozen weight's rows

    def __init__(self, weight: Tensor):
        super().__init__()
        self.register_buffer("squares", weight.float().square().sum(1), persistent=False)
        self.weight = nn.Parameter(self.squares.sqrt())

    def forward(self, product: Tensor, bias: Tensor | None, norms: Tensor) -> Tensor:
        """product [T, out] without bias, which is written over; norms [out] of the adapted weight."""
        result: Tensor = _Scale.apply(product, self.excess(norms), self.weight)  # type: ignore[no-untyped-call]
        return result if bias is None else result + bias

    def excess(self, norms: Tensor) -> Tensor:
        """m / norm - 1, float32 [out]. A row of zeros has magnitude 0 and norm 0; it stays zero."""
        return torch.where(norms == 0, 0, self.weight.detach() / norms) - 1

    @torch.no_grad()
    def norms(self, weight: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """‖row of W + B A‖, float32 [out], of weight [out, in], a [r, in] and b [out, r] that holds the scale.

        By ‖w + ba‖² = ‖w‖² + 2 (w Aᵀ) · b + b A Aᵀ bᵀ: nothing of the weight's size is made.
        """
        across = (weight @ a.to(weight.dtype).t()).float()
        squares = self.squares + (2 * across + b @ (a @ a.t())).mul_(b).sum(1)
        return squares.clamp_(min=0).sqrt()
