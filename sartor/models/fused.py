"""RMS normalisation and the gated MLP as one operation each, with gradients that need the input only.

The layers of transformers are written for reading: under autograd each of their steps keeps its own intermediate,
float32 ones included. Here forward keeps the input and one number a row, and backward computes the rest again.
Parameters keep their names, so files and adapters do not notice.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sartor.models.decoding_linear import DecodingLinear


class _RmsNorm(torch.autograd.Function):
    """x [..., d], weight [d] -> x / sqrt(mean(x²) + eps) · weight (Zhang & Sennrich, 1910.07467).

    `offset` is Gemma's: the factor is 1 + weight, applied before rounding instead of after.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, offset: bool) -> Tensor:  # type: ignore[override]
        exact = x.to(torch.float32, copy=True)
        inverse = _inverse_size(exact, eps)
        ctx.save_for_backward(x, weight, inverse)
        ctx.offset = offset
        return _normalised(exact, inverse, weight, offset, x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverse = ctx.saved_tensors
        unit = x.to(torch.float32, copy=True).mul_(inverse)
        grad = grads[0].to(torch.float32, copy=True)
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = (grad * unit).flatten(0, -2).sum(0).to(weight.dtype)
        grad.mul_(weight.float() + 1 if ctx.offset else weight.float())
        along = torch.mul(grad, unit).mean(-1, keepdim=True)
        return grad.addcmul_(unit, along, value=-1).mul_(inverse).to(x.dtype), grad_weight, None, None


def _inverse_size(exact: Tensor, eps: float) -> Tensor:
    return torch.linalg.vector_norm(exact, dim=-1, keepdim=True).square_().div_(exact.shape[-1]).add_(eps).rsqrt_()


def _normalised(exact: Tensor, inverse: Tensor, weight: Tensor, offset: bool, dtype: torch.dtype) -> Tensor:
    exact.mul_(inverse)
    if offset:
        return exact.mul_(weight.float() + 1).to(dtype)
    return exact.to(dtype).mul_(weight)


class RmsNorm(nn.Module):
    """In the place of a model's own RMS normalisation."""

    def __init__(self, own: nn.Module, eps: float, offset: bool):
        super().__init__()
        self.weight: nn.Parameter = own.weight  # type: ignore[assignment]
        self.eps, self.offset = eps, offset

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            result: Tensor = _RmsNorm.apply(x, self.weight, self.eps, self.offset)  # type: ignore[no-untyped-call]
            return result
        exact = x.to(torch.float32, copy=True)
        return _normalised(exact, _inverse_size(exact, self.eps), self.weight, self.offset, x.dtype)


class _Gate(torch.autograd.Function):
    """gate, up [..., m] -> silu(gate) · up (SwiGLU, 2002.05202)."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(gate, up)
        return _gated(gate, up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gate, up = ctx.saved_tensors
        grad_gate = torch.ops.aten.silu_backward(grads[0] * up, gate)
        return grad_gate, _gated(gate, grads[0])


def _gated(gate: Tensor, up: Tensor) -> Tensor:
    return nn.functional.silu(gate).mul_(up)


class GatedMlp(nn.Module):
    """In the place of a model's own MLP: down(silu(gate(x)) · up(x))."""

    def __init__(self, own: nn.Module):
        super().__init__()
        self.gate_proj: nn.Module = own.gate_proj  # type: ignore[assignment]
        self.up_proj: nn.Module = own.up_proj  # type: ignore[assignment]
        self.down_proj: nn.Module = own.down_proj  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_proj(x), self.up_proj(x)
        gated = _Gate.apply if torch.is_grad_enabled() else _gated
        result: Tensor = self.down_proj(gated(gate, up))
        return result


# What these classes of transformers compute is what the operations above do (tests compare them).
PLAIN_NORMS = ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm")
OFFSET_NORMS = ("GemmaRMSNorm", "Gemma2RMSNorm", "Gemma3RMSNorm")
GATED_MLPS = ("LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP")


def fuse(model: PreTrainedModel) -> PreTrainedModel:
    """Put the operations above, and linear layers that decode quickly, in the place of the layers that compute the
    same, in place; others stay."""
    head = model.get_output_embeddings()
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear and module is not head:
            replace(model, name, DecodingLinear(module))
    for name, module in list(model.named_modules()):
        kind = type(module).__name__
        if kind in PLAIN_NORMS or kind in OFFSET_NORMS:
            eps: Any = getattr(module, "variance_epsilon", None) or module.eps
            replace(model, name, RmsNorm(module, float(eps), kind in OFFSET_NORMS))
        elif kind in GATED_MLPS and type(module.act_fn).__name__ in ("SiLU", "SiLUActivation"):
            replace(model, name, GatedMlp(module))
    return model


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
