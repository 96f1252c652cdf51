"""Fold adapters into the weights they adapt: the same function, as a plain model."""

import torch
from transformers import PreTrainedModel

from sartor.adapters.lora import lora_layers
from sartor.adapters.quantized import QuantizedLinear, linear_layers, replace_layer


@torch.no_grad()
def merge_lora(model: PreTrainedModel) -> None:
    """Replace every adapted layer by its base with the adapted weight, in place: computed in float32, stored as the
    weight was. Layers packed in 4 bits become plain ones, with or without an adapter."""
    for name, layer in lora_layers(model).items():
        base, merged = layer.base, layer.merged()
        if isinstance(base, QuantizedLinear):
            base = base.plain(merged)
        else:
            weight: torch.Tensor = base.weight  # type: ignore[assignment]
            weight.copy_(merged.t() if layer.transposed else merged)
        replace_layer(model, name, base)
    for name, other in linear_layers(model).items():
        if isinstance(other, QuantizedLinear):
            replace_layer(model, name, other.plain(other.weight))
