"""The forward pass of BERT-like encoders (Devlin et al., 1810.04805) on a CPU, without padding.

Texts lie one behind the other as rows of one matrix, so that linear layers, norms and activations compute no padding;
attention runs over texts of equal length together. Nothing is kept for gradients. What transformers' own forward
costs beyond the products themselves (masks, padded rows, intermediate copies) is thereby gone; the tests compare the
two. `benchmarks/embed_vs_sentence_transformers.py` measures the difference.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from sartor.models.relative_positions import relative_bucket

SCORES_AT_A_TIME = 1_000_000
"""Attention scores computed together: in bfloat16 2 MB, which stays in the cache (measured)."""

USUAL_TOKENS = 2048
"""For how many tokens at a time the order of weights is chosen; all numbers are computed."""

BERT_NAMES = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "attended": "attention.output.dense", "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense", "down": "output.dense", "norm": "output.LayerNorm",
}  # fmt: skip
MPNET_NAMES = BERT_NAMES | {
    "query": "attention.attn.q", "key": "attention.attn.k", "value": "attention.attn.v",
    "attended": "attention.attn.o", "attention_norm": "attention.LayerNorm",
}  # fmt: skip
NAMES = {"bert": BERT_NAMES, "roberta": BERT_NAMES, "xlm-roberta": BERT_NAMES, "mpnet": MPNET_NAMES}
"""What the parts of a layer are called in the files of each model type."""

POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "mpnet")
"""Types whose first position is the one after the padding token's id."""


def encoder_config(folder: Path) -> dict[str, Any] | None:
    """The folder's config where `PackedEncoder` computes exactly this model, else None."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    known = (
        config.get("model_type") in NAMES
        and config.get("hidden_act", "gelu") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder", False)
        and not config.get("add_cross_attention", False)
    )
    return config if known else None


class _Linear:
    """x weightᵀ + bias. In bfloat16 the weight [out, in] is kept in the order in which the processor multiplies, and
    not again at every call brought into it: a tenth of the time of short texts (measured)."""

    def __init__(self, weight: Tensor, bias: Tensor):
        self.bias = bias
        self.is_ordered = (
            weight.dtype == torch.bfloat16
            and torch.backends.mkldnn.is_available()
            and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, USUAL_TOKENS) if self.is_ordered else weight

    def __call__(self, x: Tensor) -> Tensor:
        if not self.is_ordered:
            return functional.linear(x, self.weight, self.bias)
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return result


@dataclass(frozen=True)
class _Norm:
    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class _Layer:
    projected: _Linear  # query (already divided by the root of the head's size), key and value: [3 hidden, hidden]
    attended: _Linear
    attention_norm: _Norm
    up: _Linear
    down: _Linear
    norm: _Norm


class PackedEncoder:
    """An encoder's weights and its forward pass. `heads` are the tensors of the file that are none of the encoder's."""

    def __init__(self, folder: Path, config: dict[str, Any], dtype: torch.dtype):
        """`config` is what `encoder_config` gave. KeyError where the file lacks a weight."""
        self.heads = {name: weight.to(dtype) for name, weight in load_file(folder / "model.safetensors").items()}
        self.hidden_size, self.num_heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        self.head_size = self.hidden_size // self.num_heads
        self.dtype = dtype
        self._eps = float(config.get("layer_norm_eps", 1e-12))
        kind = config["model_type"]
        word = "embeddings.word_embeddings.weight"
        self._prefix = next(name for name in self.heads if name.endswith(word)).removesuffix(word)
        self._first_position = int(config.get("pad_token_id", 1)) + 1 if kind in POSITIONS_AFTER_PADDING else 0
        self._words = self._weight(word)
        self._positions = self._weight("embeddings.position_embeddings.weight")
        self._types = None if kind == "mpnet" else self._weight("embeddings.token_type_embeddings.weight")
        self._embedding_norm = self._norm("embeddings.LayerNorm")
        self._relative = self._weight("encoder.relative_attention_bias.weight") if kind == "mpnet" else None
        self._layers = [self._layer(number, NAMES[kind]) for number in range(int(config["num_hidden_layers"]))]

    @torch.inference_mode()
    def hidden(self, rows: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None) -> Tensor:
        """The last hidden states of all tokens [sum of lengths, hidden], row after row. Quickest when rows of equal
        length lie together. `types` are the token types (default: all 0)."""
        lengths = [len(row) for row in rows]
        x = self._embedded(rows, types, lengths)  # [tokens, hidden]
        for layer in self._layers:
            attended = self._attention(layer.projected(x), lengths)
            x = layer.attention_norm(layer.attended(attended).add_(x))
            widened = torch.ops.aten.gelu_(layer.up(x))
            x = layer.norm(layer.down(widened).add_(x))
        return x

    def _embedded(
        self, rows: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None, lengths: list[int]
    ) -> Tensor:
        ids = torch.tensor([id for row in rows for id in row], dtype=torch.long)
        places = torch.cat([torch.arange(length) for length in lengths]) if lengths else ids
        x = self._words[ids] + self._positions[places + self._first_position]
        if self._types is not None:
            x += self._types[torch.tensor([kind for row in types for kind in row])] if types else self._types[0]
        return self._embedding_norm(x)

    def _attention(self, projected: Tensor, lengths: list[int]) -> Tensor:
        """[tokens, 3 hidden] -> [tokens, hidden]; every text sees itself only."""
        out = projected.new_empty(len(projected), self.hidden_size)
        for start, rows, length in self._runs(lengths):
            end = start + rows * length
            parts = projected[start:end].view(rows, length, 3, self.num_heads, self.head_size)
            query, key, value = parts.permute(2, 0, 3, 1, 4)  # each [rows, heads, length, head_size]
            scores = query @ key.transpose(-1, -2)  # [rows, heads, length, length]
            if self._relative is not None:
                scores += self._relative[relative_bucket(length, len(self._relative))].permute(2, 0, 1)
            mixed = scores.softmax(-1) @ value
            out[start:end].view(rows, length, self.num_heads, self.head_size).copy_(mixed.transpose(1, 2))
        return out

    def _runs(self, lengths: list[int]) -> Iterator[tuple[int, int, int]]:
        """(first token, rows, length) of neighbours of equal length, as many as fit into the cache at a time."""
        start = 0
        for length, group in groupby(lengths):
            rows, most = len(list(group)), max(1, SCORES_AT_A_TIME // max(1, self.num_heads * length**2))
            while rows:
                taken = min(rows, most)
                yield start, taken, length
                start, rows = start + taken * length, rows - taken

    def _layer(self, number: int, names: dict[str, str]) -> _Layer:
        def name(part: str) -> str:
            return f"encoder.layer.{number}.{names[part]}"

        def projection(kind: str) -> Tensor:
            """Weight or bias of query, key and value, one below the other."""
            query, key, value = (self._weight(f"{name(part)}.{kind}") for part in ("query", "key", "value"))
            return torch.cat([query.float() * self.head_size**-0.5, key.float(), value.float()]).to(self.dtype)

        return _Layer(
            _Linear(projection("weight"), projection("bias")),
            self._linear(name("attended")),
            self._norm(name("attention_norm")),
            self._linear(name("up")),
            self._linear(name("down")),
            self._norm(name("norm")),
        )

    def _weight(self, name: str) -> Tensor:
        return self.heads.pop(self._prefix + name)

    def _linear(self, name: str) -> _Linear:
        return _Linear(self._weight(f"{name}.weight"), self._weight(f"{name}.bias"))

    def _norm(self, name: str) -> _Norm:
        return _Norm(self._weight(f"{name}.weight"), self._weight(f"{name}.bias"), self._eps)
