"""A model is computed as transformers computes it, or refused: what packed rows, or a head of one matrix, would get
wrong when it is made ready, the rest by the first layer that is run."""

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, GptOssConfig, Lfm2Config, PhiConfig

from sartor.base.errors import UsageError
from sartor.data.packing import pack
from sartor.models.attention import packed_attention
from sartor.models.forward import use_packed_attention
from sartor.train.log_probs import batch_log_probs
from tests import odd_models, tiny_models

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
EQUAL = (
    "exaone4", "phimoe", "gemma3", "gemma4", "gemma4_text", "gpt_bigcode", "deepseek_v2", "deepseek_v3",
    "glm4_moe_lite", "youtu", "minicpm3",
)  # fmt: skip
NOT_PLACED = ("bart", "marian", "xlstm")  # decoders that count tokens for themselves, and a recurrent one
STOPPED = {"doge": "attention masks of their own", "stablelm": "how rows are packed", "nemotron": "how rows are packed"}
ROWS = tiny_models.rows([9, 14, 5], shared=10)


@pytest.mark.parametrize("kind", EQUAL)
def test_types_that_are_unlike_the_usual_ones_say_what_transformers_says(kind: str) -> None:
    """With windows shorter than the rows, in some layers only."""
    model = odd_models.model(kind)
    expected = tiny_models.reference_log_probs(model, ROWS)
    use_packed_attention(model)
    torch.testing.assert_close(batch_log_probs(model, pack(ROWS)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", NOT_PLACED)
def test_rows_behind_others_are_not_computed_without_their_positions(kind: str) -> None:
    with pytest.raises(UsageError, match=f"{kind} cannot be computed here: it cannot be told where"):
        use_packed_attention(odd_models.model(kind))


@pytest.mark.parametrize("kind", list(STOPPED))
def test_layers_that_look_at_more_or_are_told_less_stop(kind: str) -> None:
    model = use_packed_attention(odd_models.model(kind))
    with pytest.raises(UsageError, match=STOPPED[kind]):
        batch_log_probs(model, pack(ROWS))


def test_values_narrower_than_queries_have_the_gradient_of_plain_autograd() -> None:
    gradients = []
    for ready in (lambda model: model, use_packed_attention):
        model = ready(odd_models.model("minicpm3"))
        model.base_model.layers[0].self_attn.requires_grad_(True)
        if model.config._attn_implementation == "eager":
            tiny_models.reference_log_probs(model, ROWS).sum().backward()
        else:
            batch_log_probs(model, pack(ROWS)).sum().backward()
        gradients.append({name: each.grad for name, each in model.named_parameters() if each.grad is not None})
    assert len(gradients[0]) > 3 and gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, rtol=1e-3, atol=1e-4)


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
