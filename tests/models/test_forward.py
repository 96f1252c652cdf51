"""Models that packed rows, or a head of one matrix, would compute wrongly are refused when they are made ready."""

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, GptOssConfig, Lfm2Config, PhiConfig

from sartor.base.errors import UsageError
from sartor.models.attention import packed_attention
from sartor.models.forward import use_packed_attention
from tests import tiny_models

SIZES = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0,
}  # fmt: skip
REFUSED = {
    "bloom": (
        BloomConfig(vocab_size=50, hidden_size=32, n_layer=1, n_head=4),
        "bloom cannot be computed here: it computes its attention in a way of its own",
    ),
    "phi": (PhiConfig(**SIZES), "phi cannot be computed here: its output layer has a bias"),
    "lfm2": (
        Lfm2Config(**SIZES, layer_types=["conv", "full_attention"]),
        "lfm2 cannot be computed here: it has layers of the kind conv",
    ),
    "gpt-oss": (
        GptOssConfig(**SIZES, head_dim=8, num_local_experts=2, num_experts_per_tok=1),
        "gpt_oss cannot be computed here: it has attention sinks",
    ),
}


@pytest.mark.parametrize("kind", list(REFUSED))
def test_what_would_be_computed_wrongly_is_refused(kind: str) -> None:
    config, told = REFUSED[kind]
    with pytest.raises(UsageError, match=told):
        use_packed_attention(AutoModelForCausalLM.from_config(config))


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_families_that_are_supported_stay(family: str) -> None:
    use_packed_attention(tiny_models.model(family))


def test_sinks_are_not_left_out() -> None:
    one = torch.zeros(1, 1, 1, 1)
    with pytest.raises(UsageError, match="attention sinks"):
        packed_attention(torch.nn.Identity(), one, one, one, None, 1.0, None, s_aux=one)  # type: ignore[arg-type]
