"""The references of `sartor check`: that they agree with training where it is right, for every shape of model."""

import math

import pytest
import torch

from sartor.adapters.lora import LoraSettings, add_lora, lora_layers
from sartor.models.forward import use_packed_attention
from sartor.models.fused import GatedMlp, RmsNorm
from sartor.recipes.examples import supervised_loss
from sartor.train.invariance import (
    PlainBranch,
    as_transformers,
    gradient_difference,
    gradients,
    largest_difference,
    log_probs,
    one_by_one,
    reference_gradients,
    reference_log_probs,
    split_rows,
)
from tests import tiny_models

ROWS = tiny_models.rows([6, 9, 14], shared=10)


def adapted(family: str, weight_decomposed: bool = False) -> torch.nn.Module:
    model = use_packed_attention(tiny_models.model(family))
    torch.manual_seed(1)
    for layer in add_lora(model, LoraSettings(4, dropout=0.3, weight_decomposed=weight_decomposed)).values():
        torch.nn.init.normal_(layer.lora_B, std=0.05)
    return model


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_training_is_what_transformers_computes(family: str) -> None:
    model = adapted(family)
    for batches in (split_rows(ROWS), split_rows(ROWS, 40, share_prefix=False), one_by_one(ROWS)):
        found = gradients(model, batches, supervised_loss)
        assert gradient_difference(found, reference_gradients(model, ROWS, padded=True)) < 2e-5
        assert gradient_difference(found, reference_gradients(model, ROWS, padded=False)) < 2e-5
        expected = reference_log_probs(model, ROWS, padded=True)
        assert largest_difference(log_probs(model, batches), expected) < 2e-5


def test_so_it_is_with_magnitudes_and_with_every_weight() -> None:
    model = adapted("llama", weight_decomposed=True)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            layer.magnitude.weight.mul_(1.1)
    found = gradients(model, split_rows(ROWS), supervised_loss)
    assert gradient_difference(found, reference_gradients(model, ROWS, padded=True)) < 2e-5
    whole = use_packed_attention(tiny_models.model("qwen2")).requires_grad_(True)
    found = gradients(whole, split_rows(ROWS), supervised_loss)
    assert len(found) == len(list(whole.parameters()))
    assert gradient_difference(found, reference_gradients(whole, ROWS, padded=True)) < 2e-5


def test_the_reference_shares_nothing_with_training_but_the_weights() -> None:
    model = adapted("llama")
    before, whole = lora_layers(model), dict(model.named_modules())
    with as_transformers(model):
        kinds = [type(module) for module in model.modules()]
        assert kinds.count(PlainBranch) == len(before) and not {RmsNorm, GatedMlp} & set(kinds)
        assert all(parameter.device.type == "cpu" for parameter in model.parameters())
        assert model.config._attn_implementation == "eager"
    assert lora_layers(model) == before and dict(model.named_modules()) == whole
    assert model.config._attn_implementation == "sartor_packed"


def test_gradients_leave_nothing_behind() -> None:
    model = adapted("llama")
    shares = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    gradients(model, split_rows(ROWS), supervised_loss)
    assert all(parameter.grad is None for parameter in model.parameters()) and not model.training
    assert (
        [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
        == shares
        == [0.3] * len(shares)
    )


def test_one_wrong_tensor_among_many_is_found() -> None:
    expected = {"large": torch.full((1000,), 10.0), "small": torch.full((10,), 1.0)}
    assert gradient_difference(expected, expected) == 0
    halved = expected | {"small": expected["small"] / 2}
    assert gradient_difference(halved, expected) == pytest.approx(0.5)
    assert math.isnan(gradient_difference(expected | {"small": expected["small"] * math.nan}, expected))
