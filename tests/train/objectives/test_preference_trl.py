"""Preference losses are TRL's: the loss code of its trainers on the same made-up log-probabilities of each token."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sartor.train.objectives.preference import (
    PairLogProbs,
    PreferenceSettings,
    kto_divergence,
    kto_loss,
    preference_loss,
)
from tests.train.objectives import trl_losses
from tests.train.objectives.trl_losses import assert_same

PROMPT, WIDTH = 3, 9
CHOSEN, REJECTED = [4, 9, 1, 6], [7, 2, 5, 9]


def pair_tokens(chosen: list[int] = CHOSEN) -> tuple[Tensor, Tensor, PairLogProbs]:
    """Log-probabilities of each token [2P, WIDTH], their mask, and the pairs that they make."""
    tokens, mask = trl_losses.answers([*chosen, *REJECTED[: len(chosen)]], seed=1, width=WIDTH)
    reference = trl_losses.answers([*chosen, *REJECTED[: len(chosen)]], seed=2, width=WIDTH)[0].detach()
    sums, reference_sums, lengths = tokens.sum(1).chunk(2), reference.sum(1).chunk(2), mask.sum(1).chunk(2)
    return tokens, mask, PairLogProbs(*sums, *lengths, *reference_sums)


def dpo_trainer(tokens: Tensor, loss_types: list[str], **attributes: Any) -> Any:
    from trl import DPOTrainer

    given = dict(
        loss_types=loss_types,
        loss_weights=[1.0] * len(loss_types),
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        use_weighting=False,
    )
    return trl_losses.made(DPOTrainer, trl_losses.scored(padded(tokens)), **{**given, **attributes})


def padded(tokens: Tensor) -> Tensor:
    """[R, WIDTH] of the answer -> [R, PROMPT + WIDTH - 1] of the row: the prompt's tokens are not scored."""
    return torch.cat([torch.zeros(len(tokens), PROMPT - 1, dtype=tokens.dtype), tokens], 1)


def row_inputs(mask: Tensor) -> dict[str, Tensor]:
    completion = torch.cat([torch.zeros(len(mask), PROMPT, dtype=torch.long), mask.long()], 1)
    return {
        "input_ids": torch.ones_like(completion),
        "completion_mask": completion,
        "attention_mask": torch.ones_like(completion),
    }


def trl_dpo(tokens: Tensor, mask: Tensor, pairs: PairLogProbs, trainer: Any) -> Tensor:
    references = {"ref_chosen_logps": pairs.reference_chosen, "ref_rejected_logps": pairs.reference_rejected}
    loss: Tensor = trainer.compute_loss(trainer.model, {**row_inputs(mask), **references})
    return loss


@pytest.mark.parametrize(
    ("loss_type", "settings"),
    [
        ("sigmoid", PreferenceSettings("sigmoid", beta=0.3)),
        ("sigmoid_norm", PreferenceSettings("sigmoid", beta=0.3, length_normalised=True)),
        ("hinge", PreferenceSettings("hinge", beta=0.3)),
        ("ipo", PreferenceSettings("ipo", beta=0.3, length_normalised=True)),
    ],
)
def test_losses_with_a_reference_equal_the_dpo_trainer(loss_type: str, settings: PreferenceSettings) -> None:
    tokens, mask, pairs = pair_tokens()
    trainer = dpo_trainer(tokens, [loss_type], beta=0.3)
    ours, metrics = preference_loss(pairs, 4, settings)
    assert_same(ours, trl_dpo(tokens, mask, pairs, trainer), tokens)
    if not settings.length_normalised:  # TRL's metrics never are
        theirs = trainer._metrics["eval"]
        assert metrics["accuracy"] == pytest.approx(theirs["rewards/accuracies"][0])
        assert metrics["margin"] == pytest.approx(theirs["rewards/margins"][0])
        assert 0.3 * metrics["chosen_change"] == pytest.approx(theirs["rewards/chosen"][0])
        assert 0.3 * metrics["rejected_change"] == pytest.approx(theirs["rewards/rejected"][0])


def test_the_likelihood_term_equals_the_dpo_trainer_where_answers_are_equally_long() -> None:
    tokens, mask, pairs = pair_tokens(chosen=[5, 5, 5])
    trainer = dpo_trainer(tokens, ["sigmoid", "sft"], loss_weights=[1.0, 0.7], beta=0.3)
    ours, _ = preference_loss(pairs, 3, PreferenceSettings(beta=0.3, supervised_weight=0.7))
    assert_same(ours, trl_dpo(tokens, mask, pairs, trainer), tokens)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_simpo_equals_the_cpo_trainer(smoothing: float) -> None:
    from trl.experimental.cpo import CPOTrainer

    tokens, mask, pairs = pair_tokens()
    attributes = dict(loss_type="simpo", alpha=0.0, beta=2.0, simpo_gamma=0.7, label_smoothing=smoothing)
    trainer = trl_losses.made(CPOTrainer, trl_losses.GivenModel(), **attributes)
    averages = (tokens.sum(1) / mask.sum(1)).chunk(2)  # as its get_batch_logps for simpo
    losses, chosen, rejected = trainer.cpo_loss(*averages)
    settings = PreferenceSettings("simpo", beta=2.0, target_margin=0.7, label_smoothing=smoothing)
    ours, metrics = preference_loss(pairs, 4, settings)
    assert_same(ours, losses.mean(), tokens)
    assert metrics["margin"] == pytest.approx(float((chosen - rejected).mean()))


def test_orpo_equals_the_orpo_trainer() -> None:
    """But for the prompt's tokens in TRL's likelihood, which these rows do not have, and its mean over tokens."""
    from trl.experimental.orpo import ORPOTrainer

    tokens, mask, pairs = pair_tokens(chosen=[5, 5, 5])
    trainer = trl_losses.made(ORPOTrainer, trl_losses.GivenModel(), beta=0.4)
    averages = (tokens.sum(1) / mask.sum(1)).chunk(2)
    likelihood = -tokens[:3].sum() / mask[:3].sum()
    logits = torch.zeros(1)
    trainer.concatenated_forward = lambda model, batch: (*averages, logits, logits, likelihood)
    theirs, their_metrics = trainer.get_batch_loss_metrics(trainer.model, {}, "eval")
    ours, metrics = preference_loss(pairs, 3, PreferenceSettings("orpo", beta=0.4))
    assert_same(ours.float(), theirs.float(), tokens)
    assert metrics["margin"] == pytest.approx(their_metrics["eval_log_odds_chosen"], rel=1e-5)


def test_kto_equals_the_kto_trainer() -> None:
    from trl import KTOTrainer

    lengths = [4, 9, 1, 6, 3]
    tokens, mask = trl_losses.answers(lengths, seed=1, width=WIDTH)
    reference = trl_losses.answers(lengths, seed=2, width=WIDTH)[0].detach().sum(1)
    mismatched = [trl_losses.answers(lengths, seed=seed, width=WIDTH)[0].detach().sum(1) for seed in (5, 4)]
    desirable = torch.tensor([True, False, True, True, False])
    trainer = trl_losses.made(
        KTOTrainer,
        trl_losses.scored(padded(tokens)),
        loss_type="kto",
        beta=0.3,
        desirable_weight=1.2,
        undesirable_weight=0.8,
        calculate_KL=True,
        precompute_ref_logps=True,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
    )
    trainer._compute_kl_logps = lambda model, batch: mismatched[0]
    inputs = {**row_inputs(mask), "label": desirable, "ref_logps": reference, "ref_KL_logps": mismatched[1]}
    theirs = trainer.compute_loss(trainer.model, inputs)
    divergence = kto_divergence(*mismatched)
    assert divergence == pytest.approx(trainer._metrics["eval"]["kl"][0])
    ours, _ = kto_loss(tokens.sum(1), reference, desirable, divergence, 5, 0.3, 1.2, 0.8)
    assert_same(ours, theirs, tokens)
