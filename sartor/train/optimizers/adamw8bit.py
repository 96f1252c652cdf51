"""AdamW whose state is eight bits a number (Dettmers et al., 2110.02861): block-wise dynamic quantization.

Each row of a state is cut into blocks of 256 numbers. A block keeps its largest absolute value in float32, and each
number is one of 256 codes: the share of that value, on a scale that is finer for small shares ("dynamic tree").
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

BLOCK = 256
EXPONENTS = 7  # powers of ten that the codes span
NUMBERS_AT_ONCE = 2**24  # whose state is float32 for a moment


@cache
def codebook(signed: bool) -> Tensor:
    """The 256 shares that codes stand for, ascending, float32: of -1 to 1, or of 0 to 1.

    A power of ten 10^-e, e = 6 … 0, has 2^(6-e) (unsigned: twice as many) equally wide parts of [0.1, 1] · 10^-e, and
    the middle of each part is a code; 0 and 1 are codes as well.
    """
    shares = [0.0, 1.0]
    for power in range(EXPONENTS):
        parts = 2**power if signed else 2 ** (power + 1)
        edges = torch.linspace(0.1, 1.0, parts + 1, dtype=torch.float64)
        middles = (edges[1:] + edges[:-1]) / 2 * 10.0 ** (power - EXPONENTS + 1)
        shares += [*middles.tolist(), *((-middles).tolist() if signed else [])]
    return torch.tensor(sorted(shares), dtype=torch.float64).float()


def quantize(values: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
    """float32 [rows, columns] -> (codes uint8 [rows, columns], scales float32 [rows, blocks])."""
    book = codebook(signed).to(values.device)
    scales = torch.stack([block.abs().amax(1) for block in values.split(BLOCK, 1)], 1)
    shares = values / _spread(scales, values.shape[1]).clamp(min=torch.finfo(torch.float32).tiny)
    return torch.bucketize(shares, (book[1:] + book[:-1]) / 2).to(torch.uint8), scales


def dequantize(codes: Tensor, scales: Tensor, signed: bool) -> Tensor:
    """What `quantize` gave, back to float32 [rows, columns]; off by at most 0.8 % of the largest in its block, and by
    less where the number is smaller."""
    return codebook(signed).to(codes.device)[codes.int()] * _spread(scales, codes.shape[1])


class AdamW8bit(torch.optim.Optimizer):
    """AdamW (1711.05101) with quantized moments; vectors (norms, biases) are few and keep theirs in float32.

    State: 2 bytes a weight and 8 bytes for 256 weights (AdamW: 8 bytes a weight). Of the second moment the root is
    quantized: the moment itself spans twice as many powers of ten as the codes do, and where it fell to zero a step
    would be divided by next to nothing. The moments are float32 during the step.
    """

    def __init__(
        self, groups: list[dict[str, Any]], betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    state = self.state[weight]
                    if not state:
                        _begin(state, weight)
                    state["step"] += 1
                    change = _change_vector if weight.ndim < 2 else _change_matrix
                    change(weight, state, group)


def _begin(state: dict[str, Tensor], weight: nn.Parameter) -> None:
    state["step"] = torch.tensor(0.0)
    if weight.ndim < 2:
        state["first"], state["second"] = torch.zeros_like(weight), torch.zeros_like(weight)
        return
    flat = weight.flatten(1)
    for name, signed in (("first", True), ("root", False)):
        codes = torch.full_like(weight, int((codebook(signed) == 0).nonzero()), dtype=torch.uint8)
        state[f"{name}_codes"] = codes
        state[f"{name}_scales"] = flat.new_zeros(len(flat), -(-flat.shape[1] // BLOCK))


def _change_vector(weight: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
    assert weight.grad is not None
    _adam(weight, weight.grad, state["first"], state["second"], float(state["step"]), group)


def _change_matrix(weight: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
    """Some rows after the other, so that little of the state is float32 at a time."""
    assert weight.grad is not None
    for rows in _slices(weight):
        values, gradient = weight[rows].flatten(1), weight.grad[rows].flatten(1)
        first_codes, root_codes = (state[f"{name}_codes"][rows].flatten(1) for name in ("first", "root"))
        first_scales, root_scales = (state[f"{name}_scales"][rows] for name in ("first", "root"))
        first = dequantize(first_codes, first_scales, True)
        second = dequantize(root_codes, root_scales, False).square_()
        _adam(values, gradient, first, second, float(state["step"]), group)
        for kept, new in zip((first_codes, first_scales), quantize(first, True), strict=True):
            kept.copy_(new)
        for kept, new in zip((root_codes, root_scales), quantize(second.sqrt_(), False), strict=True):
            kept.copy_(new)


def _adam(weight: Tensor, gradient: Tensor, first: Tensor, second: Tensor, step: float, group: dict[str, Any]) -> None:
    """One AdamW step; weight and moments change in place."""
    beta1, beta2 = group["betas"]
    first.lerp_(gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    weight.mul_(1 - group["lr"] * group["weight_decay"])
    divisor = (second / (1 - beta2**step)).sqrt_().add_(group["eps"])
    weight.addcdiv_(first, divisor, value=-group["lr"] / (1 - beta1**step))


def _slices(weight: Tensor) -> Iterator[slice]:
    if not weight.numel():
        return
    rows = max(1, NUMBERS_AT_ONCE // (weight.numel() // len(weight)))
    for start in range(0, len(weight), rows):
        yield slice(start, start + rows)


def _spread(scales: Tensor, columns: int) -> Tensor:
    """[rows, blocks] -> [rows, columns]: each number's scale."""
    return scales.repeat_interleave(BLOCK, 1)[:, :columns]
