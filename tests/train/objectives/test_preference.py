"""Preference losses: numbers by hand, gradients, and micro-batches. TRL's are compared in test_preference_trl.py."""

import dataclasses
import math
from typing import Any

import pytest
import torch

from sartor.train.objectives.preference import (
    PairLogProbs,
    PreferenceSettings,
    kto_divergence,
    kto_loss,
    preference_loss,
)

ALL = [
    PreferenceSettings(),
    PreferenceSettings("sigmoid", beta=0.3, label_smoothing=0.1, length_normalised=True, supervised_weight=0.5),
    PreferenceSettings("ipo", beta=0.2),
    PreferenceSettings("ipo", beta=0.2, length_normalised=True),
    PreferenceSettings("hinge", beta=0.3, supervised_weight=2.0),
    PreferenceSettings("simpo", beta=2.0, target_margin=0.7, label_smoothing=0.2),
    PreferenceSettings("orpo", beta=0.4),
]


def one_pair(**changes: Any) -> PairLogProbs:
    """An answer of 2 tokens that became likelier by 1 nat, and one of 4 tokens that became less likely by 2."""
    values = dict(
        chosen=-3.0,
        rejected=-10.0,
        chosen_tokens=2,
        rejected_tokens=4,
        reference_chosen=-4.0,
        reference_rejected=-8.0,
    )
    return PairLogProbs(
        **{name: None if value is None else torch.tensor([value]) for name, value in {**values, **changes}.items()}
    )


def many_pairs(count: int) -> PairLogProbs:
    generator = torch.Generator().manual_seed(count)
    drawn = -20 * torch.rand(4, count, generator=generator, dtype=torch.float64)
    tokens = torch.randint(1, 9, (2, count), generator=generator)
    return PairLogProbs(drawn[0].requires_grad_(), drawn[1].requires_grad_(), tokens[0], tokens[1], drawn[2], drawn[3])


def cut(pairs: PairLogProbs, part: slice) -> PairLogProbs:
    return PairLogProbs(*(getattr(pairs, field.name)[part] for field in dataclasses.fields(pairs)))


def loss_of(settings: PreferenceSettings, pairs: PairLogProbs | None = None) -> float:
    return float(preference_loss(pairs or one_pair(), 1, settings)[0])


def test_dpo_by_hand() -> None:
    loss, metrics = preference_loss(one_pair(), num_pairs=2, settings=PreferenceSettings(beta=0.5))
    expected = math.log(1 + math.exp(-0.5 * (1 - -2))) / 2
    assert float(loss) == pytest.approx(expected)
    assert metrics == pytest.approx(
        {"loss": expected, "accuracy": 0.5, "margin": 0.75, "chosen_change": 0.5, "rejected_change": -1.0}
    )


def test_other_losses_by_hand() -> None:
    smooth = 0.9 * math.log(1 + math.exp(-1.5)) + 0.1 * math.log(1 + math.exp(1.5))
    assert loss_of(PreferenceSettings(beta=0.5, label_smoothing=0.1)) == pytest.approx(smooth)
    per_token = 1 / 2 - -2 / 4
    assert loss_of(PreferenceSettings(beta=0.5, length_normalised=True)) == pytest.approx(
        math.log(1 + math.exp(-0.5 * per_token))
    )
    assert loss_of(PreferenceSettings("ipo", beta=0.25)) == pytest.approx((3 - 2) ** 2)
    assert loss_of(PreferenceSettings("ipo", beta=0.25, length_normalised=True)) == pytest.approx((per_token - 2) ** 2)
    assert loss_of(PreferenceSettings("hinge", beta=0.25)) == pytest.approx(0.25)
    assert loss_of(PreferenceSettings("hinge", beta=0.5)) == 0
    assert loss_of(PreferenceSettings(beta=0.5, supervised_weight=0.2)) == pytest.approx(
        math.log(1 + math.exp(-1.5)) + 0.2 * 3 / 2
    )


def test_simpo_by_hand_needs_no_reference() -> None:
    pairs = one_pair(reference_chosen=None, reference_rejected=None)
    loss, metrics = preference_loss(pairs, 1, PreferenceSettings("simpo", beta=2.0, target_margin=0.5))
    expected = math.log(1 + math.exp(-(2 * (-3 / 2 - -10 / 4) - 0.5)))
    assert float(loss) == pytest.approx(expected)
    assert metrics == pytest.approx({"loss": expected, "accuracy": 1, "margin": 2 * 1.0})


def test_orpo_by_hand() -> None:
    pairs = one_pair(reference_chosen=None, reference_rejected=None)
    loss, metrics = preference_loss(pairs, 1, PreferenceSettings("orpo", beta=0.1))
    chosen, rejected = math.exp(-1.5), math.exp(-2.5)
    log_odds_ratio = math.log(chosen / (1 - chosen)) - math.log(rejected / (1 - rejected))
    expected = 1.5 + 0.1 * math.log(1 + math.exp(-log_odds_ratio))
    assert float(loss) == pytest.approx(expected)
    assert metrics == pytest.approx({"loss": expected, "accuracy": 1, "margin": log_odds_ratio, "supervised_loss": 1.5})


def test_orpo_of_a_certain_answer_stays_finite() -> None:
    chosen = torch.tensor([0.0], requires_grad=True)
    pairs = dataclasses.replace(one_pair(), chosen=chosen)
    loss, metrics = preference_loss(pairs, 1, PreferenceSettings("orpo"))
    loss.backward()
    assert math.isfinite(metrics["loss"]) and math.isfinite(metrics["margin"]) and metrics["margin"] > 10
    assert chosen.grad is not None and float(chosen.grad) == pytest.approx(-0.5)  # what is left is the likelihood's


def test_a_policy_that_is_still_the_reference_is_right_by_half() -> None:
    pairs = one_pair(reference_chosen=-3.0, reference_rejected=-10.0)
    loss, metrics = preference_loss(pairs, 1, PreferenceSettings())
    assert float(loss) == pytest.approx(math.log(2)) and metrics["accuracy"] == 0.5


def test_the_gradient_of_dpo_is_beta_times_how_wrong_it_was() -> None:
    chosen, rejected = torch.tensor([-3.0], requires_grad=True), torch.tensor([-10.0], requires_grad=True)
    pairs = dataclasses.replace(one_pair(), chosen=chosen, rejected=rejected)
    found = torch.autograd.grad(preference_loss(pairs, 1, PreferenceSettings(beta=0.5))[0], [chosen, rejected])
    wrong = 0.5 / (1 + math.exp(1.5))
    assert [float(part) for part in found] == pytest.approx([-wrong, wrong])


@pytest.mark.parametrize("settings", ALL, ids=str)
def test_gradients(settings: PreferenceSettings) -> None:
    pairs = many_pairs(6)

    def loss(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return preference_loss(dataclasses.replace(pairs, chosen=chosen, rejected=rejected), 6, settings)[0]

    assert torch.autograd.gradcheck(loss, [pairs.chosen, pairs.rejected])


@pytest.mark.parametrize("settings", ALL, ids=str)
def test_micro_batches_sum_to_the_step(settings: PreferenceSettings) -> None:
    pairs = many_pairs(7)
    whole, metrics = preference_loss(pairs, 7, settings)
    parts = [preference_loss(cut(pairs, part), 7, settings) for part in (slice(1), slice(1, 5), slice(5, 7))]
    torch.testing.assert_close(sum(loss for loss, _ in parts), whole)
    assert {name: sum(part[name] for _, part in parts) for name in metrics} == pytest.approx(metrics)


@pytest.mark.parametrize(
    "wrong",
    [
        dict(beta=0.0),
        dict(label_smoothing=0.5),
        dict(supervised_weight=-1.0),
        dict(loss="ipo", label_smoothing=0.1),
        dict(loss="hinge", label_smoothing=0.1),
        dict(loss="orpo", label_smoothing=0.1),
        dict(loss="sigmoid", target_margin=1.0),
        dict(loss="orpo", target_margin=1.0),
        dict(loss="simpo", length_normalised=True),
        dict(loss="orpo", length_normalised=True),
        dict(loss="orpo", supervised_weight=0.5),
    ],
    ids=str,
)
def test_settings_without_effect_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        PreferenceSettings(**wrong)


def test_a_missing_reference_is_refused() -> None:
    assert [PreferenceSettings(loss).needs_reference for loss in ("sigmoid", "ipo", "hinge", "simpo", "orpo")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(ValueError, match="needs the reference"):
        preference_loss(one_pair(reference_rejected=None), 1, PreferenceSettings())


def test_kto_by_hand() -> None:
    log_probs = torch.tensor([-3.0, -5.0, -4.0], requires_grad=True)
    reference = torch.tensor([-4.0, -4.0, -4.5])
    desirable = torch.tensor([True, False, True])
    loss, metrics = kto_loss(
        log_probs, reference, desirable, 0.5, 4, beta=2.0, desirable_weight=1.0, undesirable_weight=3.0
    )
    good, bad = 1 / (1 + math.exp(2 * (1 - 0.5))), 1 / (1 + math.exp(2 * (0.5 - -1)))
    assert loss.item() == pytest.approx((good + 3 * bad + 0.5) / 4)
    assert metrics == pytest.approx({"loss": (good + 3 * bad + 0.5) / 4, "accuracy": 2.5 / 4})
    (found,) = torch.autograd.grad(loss, log_probs)
    expected = [-2 * good * (1 - good) / 4, 3 * 2 * bad * (1 - bad) / 4, -2 * 0.25 / 4]
    assert found.tolist() == pytest.approx(expected)


def test_kto_micro_batches_sum_to_the_step() -> None:
    pairs = many_pairs(6)
    assert pairs.reference_chosen is not None
    rows = (pairs.chosen, pairs.reference_chosen, torch.tensor([True, False, True, True, False, False]))
    whole, metrics = kto_loss(*rows, 1.5, 6, undesirable_weight=2.0)
    parts = [kto_loss(*(row[part] for row in rows), 1.5, 6, undesirable_weight=2.0) for part in (slice(2), slice(2, 6))]
    torch.testing.assert_close(sum(loss for loss, _ in parts), whole)
    assert sum(part["accuracy"] for _, part in parts) == pytest.approx(metrics["accuracy"])


def test_the_divergence_of_kto_is_a_mean_that_is_never_negative() -> None:
    assert kto_divergence(torch.tensor([-1.0, -2.0], requires_grad=True), torch.tensor([-3.0, -3.0])) == 1.5
    assert kto_divergence(torch.tensor([-3.0, -3.0]), torch.tensor([-1.0, -2.0])) == 0
    with pytest.raises(ValueError):
        kto_divergence(torch.tensor([]), torch.tensor([]))
