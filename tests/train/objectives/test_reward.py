"""Bradley-Terry: numbers by hand, gradients, and TRL's own loss."""

import math
from types import SimpleNamespace

import pytest
import torch

from sartor.train.objectives.reward import bradley_terry_loss


def pairs(count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(3, count, generator=generator, dtype=torch.float64)
    return [drawn[0].requires_grad_(), drawn[1].requires_grad_(), drawn[2].abs()]


def test_numbers_by_hand() -> None:
    chosen, rejected = torch.tensor([2.0, 0.5, 1.0]), torch.tensor([1.0, 1.5, 1.0])
    loss, metrics = bradley_terry_loss(chosen, rejected, num_pairs=4, centering=0.1)
    expected = math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1)) + math.log(2) + 0.1 * (3**2 + 2**2 + 2**2)
    assert float(loss) == pytest.approx(expected / 4)
    assert metrics == pytest.approx(
        {
            "loss": expected / 4,
            "accuracy": (1 + 0 + 0.5) / 4,
            "margin": (1 - 1 + 0) / 4,
            "chosen_reward": 3.5 / 4,
            "rejected_reward": 3.5 / 4,
        }
    )


def test_a_margin_asks_for_a_lead() -> None:
    loss, metrics = bradley_terry_loss(torch.tensor([2.0]), torch.tensor([1.0]), 1, margins=torch.tensor([3.0]))
    assert float(loss) == pytest.approx(math.log(1 + math.exp(2)))
    assert metrics["margin"] == 1 and metrics["accuracy"] == 1


def test_the_gradient_is_how_wrong_the_model_was() -> None:
    chosen, rejected = torch.tensor([0.3], requires_grad=True), torch.tensor([-0.4], requires_grad=True)
    loss, _ = bradley_terry_loss(chosen, rejected, num_pairs=2)
    found = torch.autograd.grad(loss, [chosen, rejected])
    wrong = 1 / (1 + math.exp(0.7)) / 2
    assert [float(part) for part in found] == pytest.approx([-wrong, wrong])


def test_gradients_with_everything_on() -> None:
    chosen, rejected, margins = pairs(5)
    assert torch.autograd.gradcheck(lambda a, b: bradley_terry_loss(a, b, 5, margins, 0.3)[0], [chosen, rejected])


def test_micro_batches_sum_to_the_step() -> None:
    chosen, rejected, margins = pairs(7)
    whole, metrics = bradley_terry_loss(chosen, rejected, 7, margins, 0.2)
    parts = [bradley_terry_loss(chosen[cut], rejected[cut], 7, margins[cut], 0.2) for cut in (slice(3), slice(3, 7))]
    torch.testing.assert_close(sum(loss for loss, _ in parts), whole)
    assert {name: sum(part[name] for _, part in parts) for name in metrics} == pytest.approx(metrics)


@pytest.mark.parametrize("centering", [None, 0.05])
@pytest.mark.parametrize("with_margins", [False, True])
def test_equals_trl(centering: float | None, with_margins: bool) -> None:
    trl = pytest.importorskip("trl", reason="TRL is not installed (extra `bench`)")
    from tests.train.objectives import trl_losses

    chosen, rejected, margins = pairs(6, seed=3)
    model = trl_losses.GivenModel(logits=torch.cat([chosen, rejected])[:, None])
    trainer = trl_losses.made(trl.RewardTrainer, model, args=SimpleNamespace(center_rewards_coefficient=centering))
    inputs = {"margin": margins} if with_margins else {}
    theirs = trainer.compute_loss(model, {**inputs, "attention_mask": torch.ones(12, 1)})
    ours, metrics = bradley_terry_loss(chosen, rejected, 6, margins if with_margins else None, centering or 0.0)
    torch.testing.assert_close(ours, theirs)
    for our, their in zip(
        torch.autograd.grad(ours, [chosen, rejected]), torch.autograd.grad(theirs, [chosen, rejected]), strict=True
    ):
        torch.testing.assert_close(our, their)
    for name in ("accuracy", "margin"):
        assert metrics[name] == pytest.approx(trainer._metrics["eval"][name][0])
