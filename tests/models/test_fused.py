"""Fused layers compute what the layers they replace do, in values and gradients, and keep their parameters' names."""

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sartor.models.fused import GatedMlp, RmsNorm, fuse
from tests import tiny_models

FUSED = {"llama": True, "qwen2": True, "qwen3": True, "mistral": True, "gemma2": False, "gemma3": False}


def layers(model: PreTrainedModel, kind: type[nn.Module]) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if isinstance(module, kind)}


def outcome(layer: nn.Module, x: Tensor, seed: int) -> list[Tensor]:
    """Output, gradient to the input and gradients to all parameters."""
    x = x.detach().clone().requires_grad_()
    layer.zero_grad()
    layer.requires_grad_(True)
    y = layer(x)
    generator = torch.Generator().manual_seed(seed)
    (y * torch.randn(y.shape, generator=generator).to(y.dtype)).sum().backward()
    assert x.grad is not None
    return [y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters() if parameter.grad is not None)]


@pytest.mark.parametrize("family", FUSED)
def test_every_replaced_layer_gives_the_same_values_and_gradients(family: str) -> None:
    own = tiny_models.model(family)
    for name, parameter in own.named_parameters():
        if "norm" in name:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
    fused = fuse(copy.deepcopy(own))
    replaced = layers(fused, RmsNorm) | layers(fused, GatedMlp)
    assert layers(fused, RmsNorm)
    assert bool(layers(fused, GatedMlp)) == FUSED[family]  # Gemma's gate is GELU and stays
    for name, layer in replaced.items():
        before = own.get_submodule(name)
        weight = next(before.parameters())
        width = weight.shape[-1]
        x = 3 * torch.randn(2, 5, width, generator=torch.Generator().manual_seed(1))
        kept = x.clone()
        for ours, theirs in zip(outcome(layer, x, 2), outcome(before, x, 2), strict=True):
            torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)
        assert torch.equal(x, kept)
        with torch.no_grad():
            torch.testing.assert_close(layer(x), before(x), atol=2e-5, rtol=1e-4)
        assert torch.equal(x, kept)


@pytest.mark.parametrize("family", FUSED)
def test_parameters_keep_their_names(family: str) -> None:
    own = tiny_models.model(family)
    names = list(own.state_dict())
    assert list(fuse(own).state_dict()) == names


def test_in_bfloat16_the_gradient_is_at_least_as_exact() -> None:
    own = tiny_models.model("llama")
    before = next(module for name, module in own.named_modules() if name.endswith("input_layernorm"))
    after = RmsNorm(before, before.variance_epsilon, False)
    x = 3 * torch.randn(64, next(before.parameters()).shape[0], generator=torch.Generator().manual_seed(0))
    exact = outcome(before, x, 1)[1]
    errors = []
    for layer in (after.bfloat16(), before.bfloat16()):
        errors.append((outcome(layer, x.bfloat16(), 1)[1].float() - exact).norm())
    assert errors[0] <= 1.05 * errors[1]
