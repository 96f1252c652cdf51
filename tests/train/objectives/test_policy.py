"""The clipped surrogate: numbers by hand, gradients, micro-batches. TRL's are compared in test_policy_trl.py."""

import math

import pytest
import torch

from sartor.train.objectives.policy import (
    Normalise,
    clipped_surrogate,
    policy_loss,
    reference_penalty,
    token_weights,
)

LENGTHS = [3, 1, 4]


def tokens(count: int = 8) -> list[torch.Tensor]:
    """log p (to be differentiated), log p_old, log p_ref and advantages, of which some are clipped on either side."""
    drawn = torch.randn(4, count, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    old = -drawn[0].abs() - 0.5
    return [(old + 0.3 * drawn[1]).requires_grad_(), old, old + 0.5 * drawn[2], drawn[3]]


def test_weights_by_hand() -> None:
    of = dict(num_tokens=10, num_answers=4)
    assert token_weights(LENGTHS, "tokens", **of).tolist() == pytest.approx([0.1] * 8)
    assert token_weights(LENGTHS, "answers", **of).tolist() == pytest.approx([1 / 12] * 3 + [1 / 4] + [1 / 16] * 4)
    assert token_weights(LENGTHS, "constant", **of, constant=5).tolist() == pytest.approx([1 / 20] * 8)
    for missing in (None, 0.0):
        with pytest.raises(ValueError):
            token_weights(LENGTHS, "constant", **of, constant=missing)


@pytest.mark.parametrize("normalise", ["tokens", "answers"])
def test_weights_of_a_step_sum_to_one(normalise: Normalise) -> None:
    parts = [token_weights(lengths, normalise, 12, 5) for lengths in (LENGTHS, [2, 2])]
    assert sum(float(part.sum()) for part in parts) == pytest.approx(1)


def test_an_empty_answer_has_no_tokens_to_weigh() -> None:
    assert token_weights([2, 0], "answers", 2, 2).tolist() == [0.25, 0.25]


def test_clipping_by_hand() -> None:
    """Ratios 1.5, 1.5, 0.5, 0.5, 1.1 with either sign: the clip only ever takes a gain away."""
    ratios, advantages = [1.5, 1.5, 0.5, 0.5, 1.1], [2.0, -2.0, 2.0, -2.0, 1.0]
    log_probs = torch.tensor([math.log(ratio) - 1 for ratio in ratios], requires_grad=True)
    old, weights = torch.full((5,), -1.0), torch.tensor([0.1, 0.2, 0.3, 0.2, 0.2])
    loss, metrics = clipped_surrogate(log_probs, old, torch.tensor(advantages), weights, clip_low=0.2, clip_high=0.3)
    expected = -(0.1 * 1.3 * 2 - 0.2 * 1.5 * 2 + 0.3 * 0.5 * 2 - 0.2 * 0.8 * 2 + 0.2 * 1.1)
    assert metrics == pytest.approx(
        {
            "policy_loss": expected,
            "clip_share": 0.1 + 0.2,
            "ratio": 0.1 * 1.5 + 0.2 * 1.5 + 0.3 * 0.5 + 0.2 * 0.5 + 0.2 * 1.1,
        }
    )
    (found,) = torch.autograd.grad(loss, log_probs)
    assert found.tolist() == pytest.approx([0, 0.2 * 1.5 * 2, -0.3 * 0.5 * 2, 0, -0.2 * 1.1], abs=1e-6)


def test_the_first_step_is_the_plain_policy_gradient() -> None:
    log_probs = torch.tensor([-1.0, -2.0], requires_grad=True)
    loss, metrics = clipped_surrogate(log_probs, log_probs, torch.tensor([3.0, -4.0]), torch.tensor([0.5, 0.25]))
    (found,) = torch.autograd.grad(loss, log_probs)
    assert found.tolist() == [-1.5, 1.0] and metrics["clip_share"] == 0 and metrics["ratio"] == 0.75


def test_shares_are_means_over_tokens_if_their_number_is_given() -> None:
    log_probs, old, _, advantages = tokens()
    weights = token_weights(LENGTHS, "constant", 8, 3, constant=100).double()
    _, metrics = clipped_surrogate(log_probs, old, advantages, weights, num_tokens=8)
    ratio = (log_probs - old).exp()
    clipped = ((ratio > 1.2) & (advantages > 0)) | ((ratio < 0.8) & (advantages < 0))
    assert 0 < metrics["clip_share"] == pytest.approx(float(clipped.double().mean()))
    assert metrics["ratio"] == pytest.approx(ratio.mean().item())


def test_the_penalty_by_hand() -> None:
    penalty = reference_penalty(torch.tensor([-1.0, -1.0, -1.0]), torch.tensor([-1.0, -2.0, 0.0]))
    assert penalty.tolist() == pytest.approx([0, math.exp(-1) + 1 - 1, math.exp(1) - 1 - 1])


def test_the_mean_penalty_is_the_divergence() -> None:
    """Over all tokens that the policy could have sampled, each as often as it would have been."""
    log_p, log_ref = (torch.log_softmax(torch.randn(20, dtype=torch.float64), 0) for _ in range(2))
    exact = float((log_p.exp() * (log_p - log_ref)).sum())
    assert float((log_p.exp() * reference_penalty(log_p, log_ref)).sum()) == pytest.approx(exact)


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_mean_gradient_of_the_penalty_is_that_of_a_divergence(unbiased: bool) -> None:
    """Every token counts as often as it would be sampled: of KL(p ‖ p_ref) if unbiased, else of KL(p_ref ‖ p)."""
    logits = torch.randn(20, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    log_ref = torch.log_softmax(torch.randn(20, dtype=torch.float64), 0)
    log_p = torch.log_softmax(logits, 0)
    penalty, _ = policy_loss(
        log_p,
        log_p,
        torch.zeros(20),
        log_p.detach().exp(),
        reference_log_probs=log_ref,
        penalty_coefficient=1.0,
        unbiased_penalty=unbiased,
    )
    forward, reverse = (log_ref.exp() * (log_ref - log_p)).sum(), (log_p.exp() * (log_p - log_ref)).sum()
    assert penalty.item() == pytest.approx(reverse.item())
    found, expected = (
        torch.autograd.grad(value, logits, retain_graph=True)[0]
        for value in (penalty, reverse if unbiased else forward)
    )
    torch.testing.assert_close(found, expected)


def test_the_penalty_of_nearly_equal_models_is_not_lost_in_rounding() -> None:
    """Half the squared difference: float32's exp(x) - x - 1 would be 0 or worse."""
    penalty = reference_penalty(torch.zeros(1), torch.full((1,), 1e-4))
    assert float(penalty) == pytest.approx(0.5e-8, rel=0.01)


def test_the_policy_loss_is_the_surrogate_and_the_penalty() -> None:
    log_probs, old, reference, advantages = tokens()
    weights = token_weights(LENGTHS, "answers", 8, 3).double()
    surrogate, parts = clipped_surrogate(log_probs, old, advantages, weights)
    loss, metrics = policy_loss(
        log_probs, old, advantages, weights, reference_log_probs=reference, penalty_coefficient=0.3
    )
    penalty = sum(
        float(weight) * (math.exp(gap) - gap - 1)
        for weight, gap in zip(weights, (reference - log_probs).tolist(), strict=True)
    )
    assert metrics == pytest.approx({"loss": surrogate.item() + 0.3 * penalty, **parts})
    assert loss.item() == metrics["loss"]
    with pytest.raises(ValueError, match="needs the reference"):
        policy_loss(log_probs, old, advantages, weights, penalty_coefficient=0.3)


@pytest.mark.parametrize(("coefficient", "unbiased"), [(0.0, False), (0.2, False), (0.2, True)])
def test_gradients(coefficient: float, unbiased: bool) -> None:
    log_probs, old, reference, advantages = tokens()
    weights = token_weights(LENGTHS, "answers", 8, 3).double()

    def loss(given: torch.Tensor) -> torch.Tensor:
        return policy_loss(given, old, advantages, weights, 0.2, 0.3, None, reference, coefficient, unbiased)[0]

    assert torch.autograd.gradcheck(loss, [log_probs])


@pytest.mark.parametrize("normalise", ["tokens", "answers", "constant"])
def test_micro_batches_sum_to_the_step(normalise: Normalise) -> None:
    log_probs, old, reference, advantages = tokens()

    def share(lengths: list[int], cut: slice) -> tuple[torch.Tensor, dict[str, float]]:
        weights = token_weights(lengths, normalise, 8, 3, constant=6).double()
        return policy_loss(log_probs[cut], old[cut], advantages[cut], weights, 0.2, 0.2, 8, reference[cut], 0.1)

    whole, metrics = share(LENGTHS, slice(8))
    parts = [share([3, 1], slice(4)), share([4], slice(4, 8))]
    torch.testing.assert_close(sum(loss for loss, _ in parts), whole)
    assert {name: sum(part[name] for _, part in parts) for name in metrics} == pytest.approx(metrics)
