"""How large one token's keys and values are in a model: seen, not read from its configuration, which says it in a way
of its own for every type (one for all layers, by layer, by kind of layer, compressed)."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sartor.generation.cache import CacheShape
from sartor.models.attention import AttentionRule
from sartor.models.forward import hidden_states


class _Sizes:
    """The layout of a single token, which sees itself."""

    def __init__(self) -> None:
        self.layers = self.key_heads = self.width = 0

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        self.layers = max(self.layers, layer + 1)
        self.key_heads = max(self.key_heads, key.shape[1])
        self.width = max(self.width, key.shape[2], value.shape[2])
        return value.repeat_interleave(query.shape[1] // value.shape[1], 1)


@torch.inference_mode()
def cache_shape(model: PreTrainedModel) -> CacheShape:
    """The sizes of one token's keys and values in this model; UsageError when it cannot be computed here."""
    weight = model.get_output_embeddings().weight
    token = torch.zeros(1, dtype=torch.long, device=weight.device)
    sizes = _Sizes()
    hidden_states(model, token, token, sizes)
    if not sizes.layers:
        raise ValueError("no layer attends as the layout says: the model needs `use_packed_attention`")
    return CacheShape(sizes.layers, sizes.key_heads, sizes.width, weight.dtype, weight.device)
