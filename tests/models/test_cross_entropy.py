"""Cross-entropy with gradients on the way forward = the textbook's, by autograd."""

import pytest
import torch
from torch import Tensor

from sartor.models import cross_entropy as module
from sartor.models.cross_entropy import cross_entropy
from sartor.models.heads import Head

POSITIONS, WIDTH, VOCABULARY = 37, 12, 50


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(POSITIONS, WIDTH, generator=draw).to(dtype).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH, generator=draw).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(0, VOCABULARY, (POSITIONS,), generator=draw)


def textbook(hidden: Tensor, weight: Tensor, targets: Tensor, scale: float, softcap: float | None, z: float) -> Tensor:
    logits = hidden @ weight.t() * scale
    if softcap is not None:
        logits = torch.tanh(logits / softcap) * softcap
    normalizer = logits.exp().sum(1).log()
    return (normalizer - logits[torch.arange(len(targets)), targets] + z * normalizer**2).sum()


@pytest.mark.parametrize("z", [0.0, 0.01])
@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.5, None), (1.0, 3.0), (0.25, 5.0)])
def test_value_and_gradients_are_the_textbooks(
    monkeypatch: pytest.MonkeyPatch, scale: float, softcap: float | None, z: float
) -> None:
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", 10 * VOCABULARY)  # several chunks, the last of them smaller
    monkeypatch.setattr(module, "EXACT_AT_ONCE", 3 * VOCABULARY)
    hidden, weight, targets = inputs()
    total, squares = cross_entropy(hidden, Head(weight, scale, softcap), targets, z)
    (total / 7).backward()
    other_hidden, other_weight, _ = inputs()
    expected = textbook(other_hidden, other_weight, targets, scale, softcap, z)
    (expected / 7).backward()
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(hidden.grad, other_hidden.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(weight.grad, other_weight.grad, rtol=1e-4, atol=1e-6)
    without = textbook(other_hidden, other_weight, targets, scale, softcap, 0.0)
    whole = textbook(other_hidden, other_weight, targets, scale, softcap, 1.0)
    torch.testing.assert_close(squares, (whole - without).detach(), rtol=1e-4, atol=1e-4)


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, weight, targets = inputs()
    total, _ = cross_entropy(hidden, Head(weight.requires_grad_(False)), targets)
    total.backward()
    assert weight.grad is None and hidden.grad is not None


def test_bfloat16_rounds_but_does_not_drift() -> None:
    hidden, weight, targets = inputs(torch.bfloat16)
    total, _ = cross_entropy(hidden, Head(weight), targets)
    total.backward()
    exact_hidden, exact_weight = (tensor.detach().float().requires_grad_() for tensor in (hidden, weight))
    expected = textbook(exact_hidden, exact_weight, targets, 1.0, None, 0.0)
    expected.backward()
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=0.01)
    for ours, exact in ((hidden.grad, exact_hidden.grad), (weight.grad, exact_weight.grad)):
        assert ours is not None and exact is not None
        assert float((ours.float() - exact).norm() / exact.norm()) < 0.02


def test_no_gradients_without_grad_mode() -> None:
    hidden, weight, targets = inputs()
    with torch.no_grad():
        total, _ = cross_entropy(hidden, Head(weight), targets)
    assert not total.requires_grad
    torch.testing.assert_close(total, textbook(hidden, weight, targets, 1.0, None, 0.0).detach())
