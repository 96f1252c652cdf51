"""Muon: momentum, made orthogonal, for the weight matrices inside a model (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/)."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sartor.base.device import compute_dtype

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan's: steepest at zero, singular values end between 0.7 and 1.2
ITERATIONS = 5
MOMENTUM = 0.95
RMS_OF_ADAMW = 0.2  # root mean square of an AdamW step of rate 1, as measured by 2502.16982 (section 2.2)

# (parameter, this process's rows of its step) -> the whole matrix
Gather = Callable[[nn.Parameter, Tensor], Tensor]
# parameter -> (first, end) of the rows of the whole matrix that it is
Rows = Callable[[nn.Parameter], tuple[int, int]]


def orthogonalized(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The matrix U S Vᵀ with its singular values S moved close to 1, by Newton-Schulz iterations in `dtype`."""
    a, b, c = COEFFICIENTS
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.t()).to(dtype)
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.t()
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.t()


class Muon(torch.optim.Optimizer):
    """W <- (1 - rate · decay) W - rate · 0.2 sqrt(max(rows, columns)) · orthogonal(Nesterov momentum).

    The factor gives a step the size of AdamW's (2502.16982, equation 4), so that one learning rate serves both.
    State: the momentum, 4 bytes a weight (half of AdamW's). A matrix that several processes share out is gathered
    for its step, since the iterations need all of it.
    """

    def __init__(self, matrices: Sequence[nn.Parameter], weight_decay: float, gather: Gather, rows: Rows):
        if any(matrix.ndim != 2 for matrix in matrices):
            raise ValueError("Muon is for matrices only")
        super().__init__(list(matrices), {"lr": 0.0, "weight_decay": weight_decay})
        self._gather, self._rows = gather, rows

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._change(matrix, matrix.grad, group["lr"], group["weight_decay"])

    def _change(self, matrix: nn.Parameter, gradient: Tensor, rate: float, weight_decay: float) -> None:
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        whole = self._gather(matrix, gradient.lerp(momentum, MOMENTUM))
        first, end = self._rows(matrix)
        step = orthogonalized(whole, compute_dtype(matrix.device))[first:end]
        matrix.mul_(1 - rate * weight_decay)
        matrix.add_(step.to(matrix.dtype), alpha=-rate * RMS_OF_ADAMW * math.sqrt(max(whole.shape)))
