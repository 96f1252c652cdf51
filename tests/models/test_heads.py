"""Log-probabilities and entropies without a logit matrix: values and gradients of autograd on the full one."""

import math
from typing import Any

import pytest
import torch

from sartor.models.heads import TILE_POSITIONS, TILE_TOKENS, Head, token_entropies, token_log_probs


def full_log_probs(hidden: torch.Tensor, head: Head, temperature: float) -> torch.Tensor:
    logits = hidden @ head.weight.t() * head.scale
    if head.softcap is not None:
        logits = torch.tanh(logits / head.softcap) * head.softcap
    return torch.log_softmax(logits / temperature, -1)


def full(hidden: torch.Tensor, head: Head, targets: torch.Tensor, temperature: float) -> torch.Tensor:
    return full_log_probs(hidden, head, temperature).gather(1, targets[:, None])[:, 0]


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("train_head", [False, True])
def test_equals_autograd_on_the_full_logits(softcap: float | None, temperature: float, train_head: bool) -> None:
    torch.manual_seed(0)
    positions = 2 * TILE_POSITIONS + 7
    hidden = torch.randn(positions, 16, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(50, 16, dtype=torch.float64, requires_grad=train_head)
    targets = torch.randint(0, 50, (positions,))
    head = Head(weight, scale=0.5, softcap=softcap)
    upstream = torch.randn(positions)
    inputs = [hidden, weight] if train_head else [hidden]
    ours = token_log_probs(hidden, head, targets, temperature)
    theirs = full(hidden, head, targets, temperature)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)
    our_gradients = torch.autograd.grad((ours * upstream).sum(), inputs)
    their_gradients = torch.autograd.grad((theirs * upstream).sum(), inputs)
    for our, their in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("train_head", [False, True])
def test_entropies_equal_autograd_on_the_full_logits(
    softcap: float | None, temperature: float, train_head: bool
) -> None:
    """Over several tiles of positions and of the vocabulary."""
    torch.manual_seed(0)
    positions, vocabulary = TILE_POSITIONS + 7, 2 * TILE_TOKENS + 30
    hidden = torch.randn(positions, 16, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(vocabulary, 16, dtype=torch.float64, requires_grad=train_head)
    head = Head(weight, scale=0.5, softcap=softcap)
    upstream = torch.randn(positions)
    ours = token_entropies(hidden, head, temperature)
    log_probs = full_log_probs(hidden, head, temperature)
    theirs = -(log_probs.exp() * log_probs).sum(1)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)
    inputs = [hidden, weight] if train_head else [hidden]
    our_gradients = torch.autograd.grad((ours * upstream).sum(), inputs)
    their_gradients = torch.autograd.grad((theirs * upstream).sum(), inputs)
    for our, their in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-4 * float(their.abs().max()))


@pytest.mark.parametrize("later", [False, True])
def test_the_entropy_of_a_certain_token_is_zero_wherever_it_stands(later: bool) -> None:
    """Logits of 0 and one of 1000, or of -1000 and then one of 0: the running maximum leaps."""
    weight = torch.zeros(2 * TILE_TOKENS, 1) if not later else torch.full((2 * TILE_TOKENS, 1), -1000.0)
    weight[-1 if later else 0] += 1000
    hidden = torch.ones(1, 1, requires_grad=True)
    entropy = token_entropies(hidden, Head(weight))
    entropy.backward()
    assert float(entropy.detach()) == 0 and hidden.grad is not None and float(hidden.grad) == 0


def test_the_entropy_of_equal_logits_is_that_of_a_fair_die() -> None:
    found = token_entropies(torch.zeros(3, 4), Head(torch.randn(1500, 4)))
    assert found.tolist() == pytest.approx([math.log(1500)] * 3)


def test_entropies_in_bfloat16_have_the_gradient_of_float32() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(20, 64).bfloat16(), 0.2 * torch.randn(1500, 64).bfloat16()
    grads: list[Any] = []
    for dtype in (torch.bfloat16, torch.float32):
        given = hidden.to(dtype).clone().requires_grad_()
        token_entropies(given, Head(weight.to(dtype))).sum().backward()
        grads.append(given.grad)
    assert grads[0].dtype == torch.bfloat16
    assert float((grads[0].float() - grads[1]).norm() / grads[1].norm()) < 0.02
