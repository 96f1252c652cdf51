"""Low-rank adaptation (LoRA, Hu et al. 2021, 2106.09685): y = x Wᵀ + (alpha / r) · (x Aᵀ) Bᵀ with W frozen.

A and B are float32 masters; products run in the base weight's type. The whole layer is one operation that saves its
input and the small x Aᵀ, so an adapted layer needs hardly more memory than a frozen one. The frozen weight may be
packed in 4 bits (QLoRA, `quantized.py`), and the outputs may have trained magnitudes (DoRA, `dora.py`).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sartor.adapters.dora import Magnitude
from sartor.adapters.quantized import QuantizedLinear, linear_layers, replace_layer
from sartor.base.errors import UsageError


@dataclass(frozen=True)
class LoraSettings:
    """`rank` r, `alpha` (the branch is scaled by alpha / r, or alpha / sqrt(r) with `rank_stabilized`, 2312.03732).

    `targets` are the last parts of module names; empty means every linear layer but the output head.
    `weight_decomposed` is DoRA; its dropout, like LoRA's, is in front of the low-rank branch only.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    rank_stabilized: bool = False
    targets: tuple[str, ...] = ()
    weight_decomposed: bool = False

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilized else self.rank)


class _LoraProduct(torch.autograd.Function):
    """x [T, in], weight [out, in], a [r, in], b [out, r] -> x weightᵀ + bias + scale · (x aᵀ) bᵀ [T, out].

    A packed weight is unpacked for each direction, and never saved unpacked.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        dropped: Tensor | None,
        weight: Tensor | QuantizedLinear,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
    ) -> Tensor:
        a, b = a.to(x.dtype), (b * scale).to(x.dtype)
        ctx.packed = weight if isinstance(weight, QuantizedLinear) else None
        if isinstance(weight, QuantizedLinear):
            weight = weight.unpacked(x.dtype)
        into = x if dropped is None else dropped
        narrow = into @ a.t()
        result = x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())
        result.addmm_(narrow, b.t())
        ctx.save_for_backward(into, narrow, weight if ctx.packed is None else None, a, b)
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
        if ctx.needs_input_grad[0]:
            grad_x = grad @ (weight if ctx.packed is None else ctx.packed.unpacked(grad.dtype))
            if not ctx.has_dropout:
                grad_x.addmm_(narrow_grad, a)
        return grad_x, grad_dropped, None, None, grad_a, grad_b, None


class LoraLinear(nn.Module):
    """A frozen linear layer (`nn.Linear`, GPT-2's transposed `Conv1D`, or either packed) with a trainable low-rank
    branch and, in DoRA, trainable magnitudes."""

    def __init__(self, base: nn.Module, settings: LoraSettings):
        super().__init__()
        self.base = base
        self.transposed = isinstance(base, Conv1D)
        self.scale, self.enabled = settings.scale, True
        self.dropout = nn.Dropout(settings.dropout) if settings.dropout else None
        weight = self.weight
        rows, columns = weight.shape
        self.lora_A = nn.Parameter(torch.empty(settings.rank, columns, device=weight.device))
        self.lora_B = nn.Parameter(torch.zeros(rows, settings.rank, device=weight.device))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.magnitude = Magnitude(weight) if settings.weight_decomposed else None
        self._ready: tuple[Key, _Ready] | None = None
        self._norms: tuple[Key, Tensor] | None = None
        self.train(base.training)

    @property
    def weight(self) -> Tensor:
        """The frozen weight as [out, in]; unpacked anew where it is packed."""
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
        weight = self.base if isinstance(self.base, QuantizedLinear) else self.weight
        result = _LoraProduct.apply(  # type: ignore[no-untyped-call]
            flat, dropped, weight, bias if self.magnitude is None else None, self.lora_A, self.lora_B, self.scale
        )
        if self.magnitude is not None:
            result = self.magnitude(result, bias, self._adapted_norms(self.magnitude))
        return result.view(*x.shape[:-1], -1)

    def _answer(self, x: Tensor) -> Tensor:
        """The same without gradients; what is trained is converted once, not at every token."""
        key = self._key(x)
        if self._ready is None or self._ready[0] != key:
            self._ready = (key, self._converted(x.dtype))
        ready = self._ready[1]
        result: Tensor = self.base(x)
        if ready.excess is not None:
            result.addcmul_(result, ready.excess)
        if ready.bias is not None:
            result.add_(ready.bias)
        return result.addmm_(x @ ready.a, ready.b)

    @torch.no_grad()
    def _converted(self, dtype: torch.dtype) -> "_Ready":
        a, b, excess, bias = self.lora_A.t(), self.lora_B.t() * self.scale, None, None
        if self.magnitude is not None:
            excess = self.magnitude.excess(self._adapted_norms(self.magnitude))
            b = b * (1 + excess)
            if self.base.bias is not None:
                bias = (-excess * self.base.bias).to(dtype)  # type: ignore[operator]
            excess = excess.to(dtype)
        return _Ready(a.to(dtype).contiguous(), b.to(dtype).contiguous(), excess, bias)

    def _adapted_norms(self, magnitude: Magnitude) -> Tensor:
        """The norms of the adapted weight's rows; computed again only after an update."""
        key = self._key(self.lora_A)
        if self._norms is None or self._norms[0] != key:
            self._norms = (key, magnitude.norms(self.weight, self.lora_A, self.lora_B * self.scale))
        return self._norms[1]

    def _key(self, like: Tensor) -> "Key":
        """What kept conversions depend on: the state of all that is trained, number format and place."""
        magnitude = 0 if self.magnitude is None else self.magnitude.weight._version
        return self.lora_A._version, self.lora_B._version, magnitude, like.dtype, like.device

    @torch.no_grad()
    def merged(self) -> Tensor:
        """The adapted weight, float32 [out, in]."""
        weight = torch.addmm(self.weight.float(), self.lora_B, self.lora_A, alpha=self.scale)
        if self.magnitude is None:
            return weight
        factors = self.magnitude.excess(torch.linalg.vector_norm(weight, dim=1)) + 1
        return weight.mul_(factors[:, None])


Key = tuple[int, int, int, torch.dtype, torch.device]


class _Ready(NamedTuple):
    """A branch in the number format of answers: a [in, r] and b [r, out] with every factor in it; the excess over 1 of
    DoRA's factor [out], and what takes that factor off the bias again [out]."""

    a: Tensor
    b: Tensor
    excess: Tensor | None
    bias: Tensor | None


def target_names(model: PreTrainedModel, targets: tuple[str, ...]) -> list[str]:
    """Full names of the linear layers to adapt. UsageError names targets that no layer answers to."""
    linear = [name.removesuffix(".base") for name in linear_layers(model)]  # of a layer that has a branch already
    if not targets:
        return linear
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
        layers[name] = LoraLinear(model.get_submodule(name), settings)
        replace_layer(model, name, layers[name])
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
