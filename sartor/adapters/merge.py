"""Fold adapters into the weights they adapt: the same function, as a plain model."""

import torch
from torch import nn

from sartor.adapters.lora import lora_layers


@torch.no_grad()
def merge_lora(model: nn.Module) -> None:
    """Replace every adapted layer by its base with `W + scale · B A`, in place: added in float32, stored as W was."""
    for name, layer in lora_layers(model).items():
        weight: torch.Tensor = layer.base.weight  # type: ignore[assignment]
        delta = layer.delta().t() if layer.transposed else layer.delta()
        weight.copy_((weight.float() + delta).to(weight.dtype))
        parent = model.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], layer.base)
