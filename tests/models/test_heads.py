"""Log-probabilities without a logit matrix: values and gradients of autograd on the full one."""

import pytest
import torch

from sartor.models.heads import TILE_POSITIONS, Head, token_log_probs


def full(hidden: torch.Tensor, head: Head, targets: torch.Tensor, temperature: float) -> torch.Tensor:
    logits = hidden @ head.weight.t() * head.scale
    if head.softcap is not None:
        logits = torch.tanh(logits / head.softcap) * head.softcap
    return torch.log_softmax(logits / temperature, -1).gather(1, targets[:, None])[:, 0]


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
