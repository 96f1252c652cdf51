"""Low-rank adaptation (LoRA, Hu et al. 2021, 2106.09685): y = x Wᵀ + (alpha / r) · (x Aᵀ) Bᵀ with W frozen.

A and B are float32 masters; products run in the base weight's type. The whole layer is one operation that saves its
input and the small x Aᵀ, so an adapted layer needs hardly more memory than a frozen one.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sartor.base.errors import UsageError


@dataclass(frozen=True)
class LoraSettings:
    """`rank` r, `alpha` (the branch is scaled by alpha / r, or alpha / sqrt(r) with `rank_stabilized`, 2312.03732).

    `targets` are the last parts of module names; empty means every linear layer but the output head.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    rank_stabilized: bool = False
    targets: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilized else self.rank)


class _LoraProduct(torch.autograd.Function):
    """x [T, in], weight [out, in], a [r, in], b [out, r] -> x weightᵀ + bias + scale · (x aᵀ) bᵀ [T, out]."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        dropped: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
    ) -> Tensor:
        a, b = a.to(x.dtype), (b * scale).to(x.dtype)
        into = x if dropped is None else dropped
        narrow = into @ a.t()
        result = x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())
        result.addmm_(narrow, b.t())
        ctx.save_for_backward(into, narrow, weight, a, b)
        ctx.scale, ctx.has_dropout = scale, dropped is not None
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        into, narrow, weight, a, b = ctx.saved_tensors
        narrow_grad = grad @ b
        grad_b = (grad.t() @ narrow).float().mul_(ctx.scale)
        grad_a = (narrow_grad.t() @ into).float()
        grad_x = grad_dropped = None
        if ctx.has_dropout:
            grad_dropped = narrow_grad @ a
            grad_x = grad @ weight if ctx.needs_input_grad[0] else None
        elif ctx.needs_input_grad[0]:
            grad_x = (grad @ weight).addmm_(narrow_grad, a)
        return grad_x, grad_dropped, None, None, grad_a, grad_b, None


class LoraLinear(nn.Module):
    """A frozen linear layer (`nn.Linear` or GPT-2's transposed `Conv1D`) with a trainable low-rank branch."""

    def __init__(self, base: nn.Module, settings: LoraSettings):
        super().__init__()
        self.base = base
        self.transposed = isinstance(base, Conv1D)
        self.scale, self.enabled = settings.scale, True
        self.dropout = nn.Dropout(settings.dropout) if settings.dropout else None
        rows, columns = self.weight.shape
        device = self.weight.device
        self.lora_A = nn.Parameter(torch.empty(settings.rank, columns, device=device))
        self.lora_B = nn.Parameter(torch.zeros(rows, settings.rank, device=device))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self._ready: tuple[tuple[int, int], Tensor, Tensor] | None = None
        self.train(base.training)

    @property
    def weight(self) -> Tensor:
        """The frozen weight as [out, in]."""
        weight: Tensor = self.base.weight  # type: ignore[assignment]
        return weight.t() if self.transposed else weight

    def forward(self, x: Tensor) -> Tensor:
        if not self.enabled:
            result: Tensor = self.base(x)
            return result
        flat = x.reshape(-1, x.shape[-1])
        if not torch.is_grad_enabled() and not self.training:
            return self._answer(flat).view(*x.shape[:-1], -1)
        dropped = self.dropout(flat) if self.dropout is not None and self.training else None
        bias: Tensor | None = self.base.bias  # type: ignore[assignment]
        result = _LoraProduct.apply(  # type: ignore[no-untyped-call]
            flat, dropped, self.weight, bias, self.lora_A, self.lora_B, self.scale
        )
        return result.view(*x.shape[:-1], -1)

    def _answer(self, x: Tensor) -> Tensor:
        """The same without gradients; A and B are converted once, not at every token."""
        version = (self.lora_A._version, self.lora_B._version)
        if self._ready is None or self._ready[0] != version or self._ready[1].dtype != x.dtype:
            a, b = self.lora_A.detach().t(), (self.lora_B.detach() * self.scale).t()
            self._ready = (version, a.to(x.dtype).contiguous(), b.to(x.dtype).contiguous())
        result: Tensor = self.base(x)
        return result.addmm_(x @ self._ready[1], self._ready[2])

    def delta(self) -> Tensor:
        """What the branch adds to the weight, float32 [out, in]."""
        return (self.lora_B @ self.lora_A).detach() * self.scale


def target_names(model: PreTrainedModel, targets: tuple[str, ...]) -> list[str]:
    """Full names of the linear layers to adapt. UsageError names targets that no layer answers to."""
    head = model.get_output_embeddings()
    linear = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }
    if not targets:
        return list(linear)
    unknown = [target for target in targets if not any(name.split(".")[-1] == target for name in linear)]
    if unknown:
        known = sorted({name.split(".")[-1] for name in linear})
        raise UsageError(
            f"no linear layer is called {', '.join(unknown)}",
            where="--lora-targets",
            hint=f"this model has {', '.join(known)}",
        )
    return [name for name in linear if name.split(".")[-1] in targets]


def add_lora(model: PreTrainedModel, settings: LoraSettings) -> dict[str, LoraLinear]:
    """Freeze the model and put a LoRA branch on each target, in place; returns the layers by their names."""
    model.requires_grad_(False)
    layers = {}
    for name in target_names(model, settings.targets):
        parent = model.get_submodule(name.rpartition(".")[0])
        layers[name] = LoraLinear(model.get_submodule(name), settings)
        setattr(parent, name.rpartition(".")[2], layers[name])
    return layers


def lora_layers(model: nn.Module) -> dict[str, LoraLinear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """The base model as it was, for the time of the block (the reference model of preference training)."""
    layers = [layer for layer in lora_layers(model).values() if layer.enabled]
    for layer in layers:
        layer.enabled = False
    try:
        yield
    finally:
        for layer in layers:
            layer.enabled = True
