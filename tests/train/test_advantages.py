"""Advantages: numbers by hand, and generalised estimates against the textbook's double sum."""

import math

import pytest
import torch

from sartor.train.advantages import (
    RunningScale,
    explained_variance,
    generalized_advantages,
    group_advantages,
    next_kl_coefficient,
    token_rewards,
    whiten,
)

LENGTHS = [3, 1, 7, 5]


def test_rewards_of_tokens_by_hand() -> None:
    log_ratios = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    found = token_rewards(torch.tensor([3.0, -4.0]), log_ratios, [2, 1], kl_coefficient=0.1)
    assert found.tolist() == pytest.approx([-0.05, 0.1 + 3, -0.2 - 4]) and not found.requires_grad


def test_a_score_needs_a_token() -> None:
    with pytest.raises(ValueError):
        token_rewards(torch.tensor([1.0, 1.0]), torch.tensor([0.0]), [1, 0], 0.1)


def textbook(rewards: list[float], values: list[float], discount: float, decay: float) -> list[float]:
    """A_t = Σ_k (discount · decay)^k (r_{t+k} + discount · V_{t+k+1} - V_{t+k}) of one answer."""
    after = [*values[1:], 0.0]
    errors = [reward + discount * later - now for reward, later, now in zip(rewards, after, values, strict=True)]
    return [
        sum((discount * decay) ** k * error for k, error in enumerate(errors[start:])) for start in range(len(errors))
    ]


@pytest.mark.parametrize(("discount", "decay"), [(1.0, 0.95), (0.9, 0.8), (1.0, 1.0), (1.0, 0.0)])
def test_generalised_advantages_are_the_textbooks(discount: float, decay: float) -> None:
    rewards, values = torch.randn(2, sum(LENGTHS), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    advantages, returns = generalized_advantages(rewards, values, LENGTHS, discount, decay)
    expected = [
        advantage
        for reward, value in zip(rewards.split(LENGTHS), values.split(LENGTHS), strict=True)
        for advantage in textbook(reward.tolist(), value.tolist(), discount, decay)
    ]
    assert advantages.tolist() == pytest.approx(expected)
    assert returns.tolist() == pytest.approx([a + v for a, v in zip(expected, values.tolist(), strict=True)])


def test_generalised_advantages_by_hand() -> None:
    rewards, values = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.5, 0.25, 1.0], requires_grad=True)
    advantages, returns = generalized_advantages(rewards, values, [2, 1], discount=1.0, decay=0.5)
    assert advantages.tolist() == pytest.approx([(0.25 - 0.5) + 0.5 * 0.75, 1 - 0.25, 2 - 1])
    assert returns.tolist() == pytest.approx([0.625, 1.0, 2.0])
    assert not advantages.requires_grad and not returns.requires_grad


def test_without_decay_the_return_is_the_sum_of_what_comes() -> None:
    rewards, values = torch.randn(2, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    _, returns = generalized_advantages(rewards, values, [7], discount=1.0, decay=1.0)
    torch.testing.assert_close(returns, rewards.flip(0).cumsum(0).flip(0))


def test_no_answers_have_no_advantages() -> None:
    advantages, returns = generalized_advantages(torch.tensor([]), torch.tensor([]), [])
    assert len(advantages) == len(returns) == 0


def test_group_advantages_by_hand() -> None:
    rewards = torch.tensor([1.0, 2.0, 6.0, 5.0, 5.0, 5.0])
    centred = [-2.0, -1.0, 3.0, 0, 0, 0]
    assert group_advantages(rewards, 3, "mean", "none").tolist() == pytest.approx(centred)
    found = group_advantages(rewards, 3, "leave_one_out", "none").tolist()
    assert found == pytest.approx([1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2, 0, 0, 0])
    deviation = math.sqrt((4 + 1 + 9) / 2)
    found = group_advantages(rewards, 3, "mean", "group").tolist()
    assert found == pytest.approx([part / (deviation + 1e-4) for part in centred])
    deviation = math.sqrt((9 + 4 + 4 + 1 + 1 + 1) / 5)  # around 4, the mean of all
    found = group_advantages(rewards, 3, "mean", "batch").tolist()
    assert found == pytest.approx([part / (deviation + 1e-4) for part in centred])


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize(("reward", "count"), [(1234.567, 10), (-333.3, 12), (0.1, 6)])
def test_a_group_of_equal_rewards_gets_exactly_nothing(reward: float, count: int, scale: str) -> None:
    """In float32 their mean may be off by a little, which over a deviation of nothing was half an advantage."""
    found = group_advantages(torch.tensor([reward] * count), count, "mean", scale)  # type: ignore[arg-type]
    assert found.dtype == torch.float32 and found.tolist() == [0.0] * count
    beside = group_advantages(torch.tensor([reward] * count + [*range(count)]), count, "mean", scale)  # type: ignore[arg-type]
    assert beside[:count].tolist() == [0.0] * count and beside[count:].abs().min() > 0
    assert whiten(torch.tensor([reward] * count)).tolist() == pytest.approx([0.0] * count, abs=1e-6)


def test_a_group_of_one_is_refused() -> None:
    with pytest.raises(ValueError):
        group_advantages(torch.tensor([1.0, 2.0]), 1, "mean", "none")


def test_whitened_by_hand() -> None:
    found = whiten(torch.tensor([1.0, 2.0, 6.0])).tolist()
    assert found == pytest.approx([part / math.sqrt(14 / 3) for part in (-2, -1, 3)])
    assert whiten(torch.tensor([2.0, 2.0])).tolist() == [0, 0] == whiten(torch.tensor([7.0, 7.0])).tolist()


def test_explained_variance_by_hand() -> None:
    returns = torch.tensor([1.0, 2.0, 6.0])
    assert explained_variance(returns + 10, returns) == pytest.approx(1)
    assert explained_variance(torch.zeros(3), returns) == pytest.approx(0)
    assert explained_variance(torch.tensor([0.0, 0.0, 3.0]), returns) == pytest.approx(1 - (2 / 3) / (14 / 3))
    assert math.isnan(explained_variance(returns, torch.ones(3)))


def test_the_coefficient_follows_the_divergence() -> None:
    assert next_kl_coefficient(0.2, kl=6.6, target=6.0, horizon=1000, num_answers=50) == pytest.approx(0.2 * 1.005)
    assert next_kl_coefficient(0.2, kl=60.0, target=6.0, horizon=1000, num_answers=50) == pytest.approx(0.2 * 1.01)
    assert next_kl_coefficient(0.2, kl=0.0, target=6.0, horizon=1000, num_answers=50) == pytest.approx(0.2 * 0.99)
    assert next_kl_coefficient(0.2, kl=6.0, target=6.0, horizon=1000, num_answers=50) == 0.2


@pytest.mark.parametrize("horizon", [1.0, 100.0, 512.0])
def test_the_coefficient_keeps_its_sign_however_short_the_horizon(horizon: float) -> None:
    assert next_kl_coefficient(0.05, kl=0.0, target=6.0, horizon=horizon, num_answers=512) == pytest.approx(0.04)
    assert next_kl_coefficient(0.05, kl=60.0, target=6.0, horizon=horizon, num_answers=512) == pytest.approx(0.06)


def test_a_running_scale_is_that_of_all_numbers_at_once() -> None:
    numbers = 1e6 + torch.randn(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scale = RunningScale()
    for part in numbers.split([1, 40, 0, 9, 50]):
        scale.update(part)
    assert float(scale.count) == 100
    assert float(scale.mean) == pytest.approx(float(numbers.mean()), rel=1e-12)
    assert scale.variance == pytest.approx(float(numbers.var(correction=0)), rel=1e-6)
    torch.testing.assert_close(scale.normalise(numbers), whiten(numbers), rtol=1e-6, atol=1e-6)


def test_a_running_scale_goes_on_from_its_state() -> None:
    first, second = torch.randn(2, 20, generator=torch.Generator().manual_seed(0))
    whole, before, after = RunningScale(), RunningScale(), RunningScale()
    whole.update(first)
    before.update(first)
    after.load_state(before.state())
    whole.update(second)
    after.update(second)
    assert all(part.dtype == torch.float64 for part in after.state().values())
    assert {name: float(part) for name, part in after.state().items()} == {
        name: float(part) for name, part in whole.state().items()
    }


def test_a_running_scale_of_nothing_cannot_normalise() -> None:
    with pytest.raises(ValueError):
        RunningScale().normalise(torch.ones(2))
