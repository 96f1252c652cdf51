"""Advantages of sampled answers, by hand, and what changes from batch to batch."""

import pytest
import torch

from sartor.train.advantages import (
    explained_variance,
    generalized_advantages,
    group_advantages,
    next_kl_coefficient,
    token_rewards,
    whiten,
)
from sartor.train.estimates import GroupEstimate, Sampled, ValueEstimate, ValueSettings

LENGTHS = [2, 1, 3, 2]
SCORES = torch.tensor([1.0, 0.0, 0.5, 2.0])
LOG_RATIOS = torch.tensor([0.1, -0.2, 0.3, 0.0, 0.5, -0.1, 0.2, 0.4])
VALUES = torch.tensor([0.5, 0.2, 0.1, 0.9, 0.3, 0.0, 1.0, 1.5])
SAMPLED = Sampled(SCORES, LOG_RATIOS, LENGTHS, VALUES)


def settings(**changed: object) -> ValueSettings:
    usual: dict[str, object] = {
        "kl_coefficient": 0.1,
        "kl_target": None,
        "kl_horizon": 100.0,
        "discount": 0.9,
        "decay": 0.8,
        "normalise_reward": False,
        "whiten_advantages": False,
    }
    return ValueSettings(**(usual | changed))  # type: ignore[arg-type]


def test_answers_are_compared_with_their_group_by_hand() -> None:
    estimated = GroupEstimate(2, "mean", "none")(SAMPLED)
    # groups (1, 0) and (0.5, 2): ±0.5 and ∓0.75, the same at every token of an answer
    assert estimated.advantages.tolist() == pytest.approx([0.5, 0.5, -0.5, -0.75, -0.75, -0.75, 0.75, 0.75])
    assert estimated.rewards.tolist() == pytest.approx([0, 1, 0, 0, 0, 0.5, 0, 2])
    assert estimated.returns is None and estimated.metrics == {}


@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_baseline_and_scale_are_passed_on(baseline: str, scale: str) -> None:
    estimated = GroupEstimate(2, baseline, scale)(SAMPLED)  # type: ignore[arg-type]
    by_answer = group_advantages(SCORES, 2, baseline, scale)  # type: ignore[arg-type]
    assert torch.equal(estimated.advantages, by_answer.repeat_interleave(torch.tensor(LENGTHS)))


def test_values_and_penalty_make_advantages() -> None:
    estimated = ValueEstimate(settings())(SAMPLED)
    rewards = token_rewards(SCORES, LOG_RATIOS, LENGTHS, 0.1)
    advantages, returns = generalized_advantages(rewards, VALUES, LENGTHS, 0.9, 0.8)
    assert torch.equal(estimated.rewards, rewards) and torch.equal(estimated.advantages, advantages)
    assert estimated.returns is not None and torch.equal(estimated.returns, returns)
    assert estimated.metrics == {"kl_coefficient": 0.1, "explained_variance": explained_variance(VALUES, returns)}
    # the second answer is one token: its reward is 0 - 0.1 · 0.3, its value was 0.1
    assert float(advantages[2]) == pytest.approx(-0.03 - 0.1)


def test_whitening_is_of_advantages_not_of_returns() -> None:
    plain, whitened = (ValueEstimate(settings(whiten_advantages=on))(SAMPLED) for on in (False, True))
    assert torch.equal(whitened.advantages, whiten(plain.advantages))
    assert plain.returns is not None and whitened.returns is not None and torch.equal(plain.returns, whitened.returns)


def test_normalised_rewards_follow_all_scores_so_far() -> None:
    estimate = ValueEstimate(settings(normalise_reward=True, kl_coefficient=0.0))
    first = estimate(SAMPLED).rewards
    second = estimate(Sampled(SCORES + 10, LOG_RATIOS, LENGTHS, VALUES)).rewards
    seen = torch.cat([SCORES, SCORES + 10]).double()
    expected = (SCORES + 10 - seen.mean()) / seen.std(correction=0)
    ends = torch.tensor(LENGTHS).cumsum(0) - 1
    assert second[ends].tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert float(first[ends].mean()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("target", "grows"), [(0.01, True), (5.0, False)])
def test_the_penalty_adapts_towards_its_target(target: float, grows: bool) -> None:
    estimate = ValueEstimate(settings(kl_target=target))
    told = [estimate(SAMPLED).metrics["kl_coefficient"] for _ in range(3)]
    assert told[0] == 0.1  # what is told is what was used
    kl = float(LOG_RATIOS.sum()) / 4
    assert told[1] == next_kl_coefficient(0.1, kl, target, 100.0, 4)
    assert (told[0] < told[1] < told[2]) if grows else (told[0] > told[1] > told[2])


def test_a_fixed_penalty_stays() -> None:
    estimate = ValueEstimate(settings())
    assert {estimate(SAMPLED).metrics["kl_coefficient"] for _ in range(3)} == {0.1}


def test_state_goes_on_exactly() -> None:
    options = settings(kl_target=0.01, normalise_reward=True)
    through, before, after = (ValueEstimate(options) for _ in range(3))
    batches = [Sampled(SCORES * n, LOG_RATIOS / n, LENGTHS, VALUES) for n in range(1, 5)]
    expected = [through(batch) for batch in batches]
    for batch in batches[:2]:
        before(batch)
    after.load_state(before.state() | {"ids": torch.zeros(3)})  # which is the source's and not looked at
    for batch, wanted in zip(batches[2:], expected[2:], strict=True):
        found = after(batch)
        assert torch.equal(found.advantages, wanted.advantages) and torch.equal(found.rewards, wanted.rewards)
        assert found.metrics == wanted.metrics
    assert GroupEstimate(2, "mean", "none").state() == {}
