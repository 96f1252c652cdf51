"""Linear layers with a kept order of their weight compute the same, and notice when the weight has changed."""

import copy

import pytest
import torch
from torch import nn

from sartor.models.decoding_linear import MOST_ROWS, DecodingLinear, serves
from sartor.models.fused import fuse
from tests import tiny_models

needs_bfloat16 = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()),
    reason="this processor has no bfloat16 products",
)


def layer(bias: bool = True) -> tuple[nn.Linear, DecodingLinear]:
    torch.manual_seed(0)
    own = nn.Linear(48, 80, bias=bias, dtype=torch.bfloat16).requires_grad_(False)
    return own, DecodingLinear(own)


@needs_bfloat16
@pytest.mark.parametrize("shape", [(1, 48), (16, 48), (2, 8, 48), (MOST_ROWS, 48), (MOST_ROWS + 1, 48)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_same_product(shape: tuple[int, ...], bias: bool) -> None:
    own, decoding = layer(bias)
    x = torch.randn(shape, dtype=torch.bfloat16)
    with torch.inference_mode():
        assert decoding(x).shape == own(x).shape
        torch.testing.assert_close(decoding(x), own(x), rtol=2e-2, atol=2e-2)
        assert serves(x, own.weight) == (x.numel() <= MOST_ROWS * 48)


@needs_bfloat16
def test_a_changed_weight_is_noticed() -> None:
    own, decoding = layer()
    x = torch.randn(4, 48, dtype=torch.bfloat16)
    with torch.no_grad():
        before = decoding(x)
        own.weight.mul_(2)
        torch.testing.assert_close(decoding(x), own(x), rtol=2e-2, atol=2e-2)
        assert not torch.equal(decoding(x), before)
        own.weight.data = torch.randn(80, 48, dtype=torch.bfloat16)  # another memory, and no other version
        torch.testing.assert_close(decoding(x), own(x), rtol=2e-2, atol=2e-2)


def test_training_and_float32_take_the_usual_way() -> None:
    own, decoding = layer()
    own.requires_grad_(True)
    x = torch.randn(4, 48, dtype=torch.bfloat16, requires_grad=True)
    assert torch.equal(decoding(x), own(x))
    with torch.no_grad():
        assert torch.equal(decoding(x), own(x)), "a trained weight is not kept, not even between steps"
    decoding(x).sum().backward()
    assert x.grad is not None and own.weight.grad is not None and decoding._kept._made is None
    assert not serves(torch.randn(4, 48), torch.randn(80, 48))


@needs_bfloat16
def test_copies_make_their_own_order() -> None:
    _, decoding = layer()
    x = torch.randn(4, 48, dtype=torch.bfloat16)
    with torch.no_grad():
        expected = decoding(x)
        twin = copy.deepcopy(decoding)
        assert twin._kept._made is None and torch.equal(twin(x), expected)
        twin.weight.zero_()
        assert torch.equal(decoding(x), expected)


def test_fuse_replaces_all_but_the_head() -> None:
    model = fuse(tiny_models.model("llama"))
    plain = [name for name, module in model.named_modules() if type(module) is nn.Linear]
    assert plain == ["lm_head"]
    assert sum(isinstance(module, DecodingLinear) for module in model.modules()) == 7 * model.config.num_hidden_layers
