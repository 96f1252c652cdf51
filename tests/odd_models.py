"""Tiny random models of types that are unlike the usual ones: windows, caps and widths of their own, or worse."""

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

from tests import tiny_models

SIZES = {
    "vocab_size": tiny_models.VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
TURNS = ["sliding_attention", "full_attention"] * 2
COMPRESSED = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 6}
EXPERTS = {
    "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
    "first_k_dense_replace": 1, "n_shared_experts": 1,
}  # fmt: skip
SEEING = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
GEMMA3 = {**SIZES, "head_dim": 8, "sliding_window": 5, "layer_types": TURNS}
GEMMA4 = {
    **GEMMA3, "global_head_dim": 16, "vocab_size_per_layer_input": tiny_models.VOCABULARY,
    "hidden_size_per_layer_input": 4, "final_logit_softcapping": 3.0, "num_kv_shared_layers": 0,
}  # fmt: skip
DECODER = {
    "vocab_size": tiny_models.VOCABULARY, "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4,
    "decoder_ffn_dim": 48, "encoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 48,
    "max_position_embeddings": 256, "pad_token_id": 0,
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "exaone4": {**SIZES, "sliding_window": 5, "sliding_window_pattern": 2, "layer_types": TURNS},
    "phimoe": {**SIZES, "sliding_window": 5, "num_local_experts": 4, "num_experts_per_tok": 2},
    "gemma3": {
        "text_config": GEMMA3,
        "vision_config": {**SEEING, "image_size": 28, "patch_size": 14},
    },
    "gemma4_text": {**GEMMA4, "num_kv_shared_layers": 2},
    "gemma4": {
        "text_config": GEMMA4,
        "vision_config": {**SEEING, "num_key_value_heads": 2, "head_dim": 8},
        "audio_config": None,
    },
    "gpt_bigcode": {
        "vocab_size": tiny_models.VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256,
        "multi_query": True,
    },
    "deepseek_v3": {**SIZES, **COMPRESSED, **EXPERTS, "num_key_value_heads": 4},
    "deepseek_v2": {**SIZES, **COMPRESSED, **EXPERTS, "num_key_value_heads": 4, "topk_method": "greedy"},
    "glm4_moe_lite": {**SIZES, **COMPRESSED, **EXPERTS, "num_key_value_heads": 4},
    "youtu": {**SIZES, **COMPRESSED, "num_key_value_heads": 4},
    "minicpm3": {**SIZES, **COMPRESSED, "num_key_value_heads": 4},
    "bart": DECODER,
    "marian": DECODER,
    "xlstm": {**SIZES, "num_heads": 4, "num_blocks": 2},
    "doge": SIZES,
    "stablelm": SIZES,
    "nemotron": SIZES,
}  # fmt: skip


def model(kind: str) -> PreTrainedModel:
    """In float32 and evaluation mode, with transformers' own attention; no two of its numbers are alike."""
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](**SETTINGS[kind])
    made: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for parameter in made.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return made.float().eval().requires_grad_(False)
