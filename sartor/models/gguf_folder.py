"""A Llama-shaped GGUF file as a Hub folder: safetensors in bfloat16, tokenizer, chat template.

Written out here instead of asked of transformers, whose GGUF loader gives SmolLM2 a wrong tokenizer (it
leaves out the split into single digits, so "a  12" becomes other ids than the model was trained on) and may
keep weights packed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from sartor.base.errors import DataError

CONTROL_TOKEN = 3  # gguf.TokenType.CONTROL
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
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


def convert_gguf(file: Path, folder: Path, name: str) -> None:
    """Write the GGUF `file` (architecture llama, tokenizer smollm) as a Hub folder into the existing
    `folder`.

    DataError when it is something else or damaged.
    """
    try:
        reader = gguf.GGUFReader(file)
        fields = {key: field.contents() for key, field in reader.fields.items()}
    except (ValueError, IndexError, KeyError) as error:
        raise DataError(f"not a readable GGUF file: {error}", where=str(file)) from error
    kind = (fields.get("general.architecture"), fields.get("tokenizer.ggml.pre"))
    if kind != ("llama", "smollm"):
        raise DataError(f"architecture and tokenizer {kind} instead of ('llama', 'smollm')", where=str(file))
    tensors = _tensors(reader, fields)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _tokenizer(fields).save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(fields["tokenizer.chat_template"])
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(fields))
    _write_json(folder / "config.json", _model_config(fields, name, tied="lm_head.weight" not in tensors))
    _write_json(folder / "generation_config.json", _special_ids(fields))


def _tensors(reader: gguf.GGUFReader, fields: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    heads, key_heads = fields["llama.attention.head_count"], fields["llama.attention.head_count_kv"]
    tensors = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if tensor.name.endswith("attn_q.weight"):
            values = _half_rotary(values, heads)
        elif tensor.name.endswith("attn_k.weight"):
            values = _half_rotary(values, key_heads)
        weights = torch.from_numpy(np.array(values, dtype=np.float32))
        tensors[_hub_name(tensor.name)] = weights.to(torch.bfloat16).contiguous()
    return tensors


def _half_rotary(weights: np.ndarray, heads: int) -> np.ndarray:
    """[heads * D, width] with rotary pairs (0, 1), (2, 3) … as llama.cpp has them -> pairs (0, D/2), (1, D/2
    + 1) …"""
    pairs = weights.shape[0] // heads // 2
    return weights.reshape(heads, pairs, 2, weights.shape[1]).swapaxes(1, 2).reshape(weights.shape)


def _hub_name(name: str) -> str:
    if name in OUTER_NAMES:
        return OUTER_NAMES[name]
    block, number, layer, parameter = name.split(".")
    return f"model.layers.{number}.{LAYER_NAMES[layer]}.{parameter}"


def _tokenizer(fields: Mapping[str, Any]) -> Tokenizer:
    """SmolLM2's own: byte-level BPE after splitting off every digit; no normalisation and nothing added
    around the text.

    The published vocabulary lacks the single bytes of a few control characters and of code points from
    U+40000 on; as in every other tool these leave no token of their own.
    """
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [(left, right) for left, right in (merge.split(" ") for merge in fields["tokenizer.ggml.merges"])]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True)
            for token, kind in zip(tokens, types, strict=True)
            if kind == CONTROL_TOKEN
        ]
    )
    return tokenizer


def _special_ids(fields: Mapping[str, Any]) -> dict[str, int]:
    return {
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
    }


def _tokenizer_config(fields: Mapping[str, Any]) -> dict[str, Any]:
    tokens = fields["tokenizer.ggml.tokens"]
    ids = {**_special_ids(fields), "unk_token_id": fields["tokenizer.ggml.unknown_token_id"]}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{name.removesuffix("_id"): tokens[number] for name, number in ids.items()},
        "model_max_length": fields["llama.context_length"],
        "clean_up_tokenization_spaces": False,
    }


def _model_config(fields: Mapping[str, Any], name: str, tied: bool) -> dict[str, Any]:
    width, heads = fields["llama.embedding_length"], fields["llama.attention.head_count"]
    return {
        "_name_or_path": name,
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": width,
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": width // heads,
        "hidden_act": "silu",
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": float(f"{fields['llama.attention.layer_norm_rms_epsilon']:.6g}"),  # stored as float32
        "rope_parameters": {"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        **_special_ids(fields),
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
