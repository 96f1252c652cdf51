"""What GGUF calls the parts of Llama-shaped models, both ways: families, tensors, rotary pairs."""

from dataclasses import dataclass

import numpy as np

LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTER_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
ROPE_FACTORS = "rope_freqs.weight"  # the default rotary frequencies are divided by these
_HUB_LAYERS = {hub: name for name, hub in LAYER_NAMES.items()}
_HUB_OUTER = {hub: name for name, hub in OUTER_NAMES.items()}


@dataclass(frozen=True)
class Architecture:
    """`name` in GGUF. `model_type` and `model_class` are transformers' when it is read back. With `interleaved`,
    rotary pairs are neighbours, and `ROPE_FACTORS` are heeded."""

    name: str
    model_type: str
    model_class: str
    interleaved: bool


LLAMA = Architecture("llama", "llama", "LlamaForCausalLM", interleaved=True)
QWEN2 = Architecture("qwen2", "qwen2", "Qwen2ForCausalLM", interleaved=False)
QWEN3 = Architecture("qwen3", "qwen3", "Qwen3ForCausalLM", interleaved=False)
ARCHITECTURES = {architecture.name: architecture for architecture in (LLAMA, QWEN2, QWEN3)}
FAMILIES = {"llama": LLAMA, "mistral": LLAMA, "qwen2": QWEN2, "qwen3": QWEN3}  # by transformers' model_type


def hub_name(name: str) -> str:
    """transformers' name of a GGUF tensor. KeyError for one that these families do not have."""
    if name in OUTER_NAMES:
        return OUTER_NAMES[name]
    if not name.startswith("blk.") or name.count(".") != 3:
        raise KeyError(name)
    _, number, layer, parameter = name.split(".")
    return f"model.layers.{number}.{LAYER_NAMES[layer]}.{parameter}"


def gguf_name(name: str) -> str:
    """GGUF's name of a transformers tensor. KeyError for one that these families do not have."""
    if name in _HUB_OUTER:
        return _HUB_OUTER[name]
    if not name.startswith("model.layers."):
        raise KeyError(name)
    number, _, rest = name.removeprefix("model.layers.").partition(".")
    layer, _, parameter = rest.rpartition(".")
    return f"blk.{number}.{_HUB_LAYERS[layer]}.{parameter}"


def rotary_heads(name: str, heads: int, key_heads: int) -> int | None:
    """How many heads the rows of the GGUF tensor `name` are cut into if they are turned by position, else None."""
    return {"attn_q": heads, "attn_k": key_heads}.get(name.split(".")[-2])


def half_rotary(values: np.ndarray, heads: int) -> np.ndarray:
    """[heads * D, …] with rotary pairs (0, 1), (2, 3) … as llama.cpp has them -> pairs (0, D/2), (1, D/2 + 1) …"""
    pairs = values.shape[0] // heads // 2
    return values.reshape(heads, pairs, 2, -1).swapaxes(1, 2).reshape(values.shape)


def interleaved_rotary(values: np.ndarray, heads: int) -> np.ndarray:
    """[heads * D, …] with rotary pairs (0, D/2), (1, D/2 + 1) … -> pairs (0, 1), (2, 3) … as llama.cpp has them."""
    pairs = values.shape[0] // heads // 2
    return values.reshape(heads, 2, pairs, -1).swapaxes(1, 2).reshape(values.shape)
