"""The clipped value loss: numbers by hand, gradients, micro-batches."""

import pytest
import torch

from sartor.train.objectives.value import clipped_value_loss


def test_numbers_by_hand() -> None:
    """A value that moved too far to the good counts as if it had stopped; one that moved to the bad counts whole."""
    values = torch.tensor([1.0, 1.0, 0.1, 0.5], requires_grad=True)
    old, returns = torch.tensor([0.0, 0.0, 0.0, 0.5]), torch.tensor([2.0, -1.0, 2.0, 0.5])
    loss, metrics = clipped_value_loss(values, old, returns, torch.tensor([0.4, 0.3, 0.2, 0.1]), clip=0.2)
    expected = (0.4 * 1.8**2 + 0.3 * 2.0**2 + 0.2 * 1.9**2 + 0.1 * 0) / 2
    assert metrics == pytest.approx({"value_loss": expected, "value_clip_share": 0.4})
    assert loss.item() == metrics["value_loss"]
    (found,) = torch.autograd.grad(loss, values)
    assert found.tolist() == pytest.approx([0, 0.3 * 2, 0.2 * -1.9, 0])


def drawn() -> tuple[torch.Tensor, ...]:
    values, old, returns, weights = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (old + 0.3 * values).requires_grad_(), old, returns, weights.abs()


def test_gradients_flow_to_values_only() -> None:
    values, old, returns, weights = drawn()
    assert torch.autograd.gradcheck(lambda given: clipped_value_loss(given, old, returns, weights)[0], [values])
    others = [old.clone().requires_grad_(), returns.clone().requires_grad_()]
    loss, _ = clipped_value_loss(values, *others, weights)
    assert torch.autograd.grad(loss, others, allow_unused=True) == (None, None)


def test_micro_batches_sum_to_the_step() -> None:
    given = drawn()
    whole, metrics = clipped_value_loss(*given)
    parts = [clipped_value_loss(*(tensor[part] for tensor in given)) for part in (slice(4), slice(4, 9))]
    torch.testing.assert_close(sum(loss for loss, _ in parts), whole)
    assert {name: sum(part[name] for _, part in parts) for name in metrics} == pytest.approx(metrics)
