"""Policy losses are TRL's: the loss code of its GRPO and RLOO trainers on the same made-up log-probabilities."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sartor.train.objectives.policy import Normalise, policy_loss, token_weights
from tests.train.objectives import trl_losses

LENGTHS, WIDTH = [4, 9, 1, 6], 9


def sampled() -> dict[str, Tensor]:
    """tokens [R, WIDTH] to be differentiated, what they were when sampled, the reference's, the mask, advantages."""
    generator = torch.Generator().manual_seed(7)
    tokens, mask = trl_losses.answers(LENGTHS, seed=1, width=WIDTH)
    old, reference = (
        (tokens.detach() + 0.4 * torch.randn(tokens.shape, generator=generator, dtype=torch.float64)) * mask
        for _ in range(2)
    )
    advantages = torch.tensor([1.0, -0.5, 0.7, -1.3], dtype=torch.float64)
    return {"tokens": tokens, "old": old, "reference": reference, "mask": mask, "advantages": advantages}


def inputs(given: dict[str, Tensor]) -> dict[str, Tensor]:
    rows = len(given["mask"])
    return {
        "prompt_ids": torch.ones(rows, 2, dtype=torch.long),
        "prompt_mask": torch.ones(rows, 2, dtype=torch.long),
        "completion_ids": torch.ones(rows, WIDTH, dtype=torch.long),
        "completion_mask": given["mask"].long(),
        "advantages": given["advantages"],
        "old_per_token_logps": given["old"],
        "old_logps": given["old"].sum(1),
        "ref_per_token_logps": given["reference"],
        "num_items_in_batch": given["mask"].sum(),
    }


def trainer(trainer_class: type, tokens: Tensor, **attributes: Any) -> Any:
    given = trl_losses.made(
        trainer_class,
        SimpleNamespace(training=False),
        epsilon_low=0.2,
        epsilon_high=0.28,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        use_vllm=False,
        _entropy_bonus_enabled=False,
        args=SimpleNamespace(delta=None),
        **attributes,
    )
    given._get_per_token_logps_and_entropies = lambda *_, **__: (tokens, torch.zeros_like(tokens), None)
    return given


@pytest.mark.parametrize(
    ("loss_type", "normalise"), [("grpo", "answers"), ("dapo", "tokens"), ("bnpo", "tokens"), ("dr_grpo", "constant")]
)
@pytest.mark.parametrize(("coefficient", "unbiased"), [(0.0, False), (0.04, False), (0.04, True)])
def test_equals_the_grpo_trainer(loss_type: str, normalise: Normalise, coefficient: float, unbiased: bool) -> None:
    from trl import GRPOTrainer

    given = sampled()
    theirs = trainer(GRPOTrainer, given["tokens"], loss_type=loss_type, beta=coefficient, max_completion_length=12)
    theirs.args.use_bias_correction_kl = unbiased
    their_loss = theirs._compute_loss(theirs.model, inputs(given))
    mask = given["mask"]
    ours, metrics = policy_loss(
        given["tokens"][mask],
        given["old"][mask],
        given["advantages"].repeat_interleave(torch.tensor(LENGTHS)),
        token_weights(LENGTHS, normalise, sum(LENGTHS), len(LENGTHS), constant=12).double(),
        clip_low=0.2,
        clip_high=0.28,
        num_tokens=sum(LENGTHS),
        reference_log_probs=given["reference"][mask],
        penalty_coefficient=coefficient,
        unbiased_penalty=unbiased,
    )
    torch.testing.assert_close(ours.detach(), their_loss.detach(), rtol=1e-6, atol=1e-7)  # weights are float32
    trl_losses.assert_same_gradient(ours, their_loss, given["tokens"])
    assert 0 < metrics["clip_share"] == pytest.approx(theirs._metrics["eval"]["clip_ratio/region_mean"][0], rel=1e-5)


def test_has_the_gradient_of_the_rloo_trainer_where_answers_were_just_sampled() -> None:
    from trl import RLOOTrainer

    given = sampled()
    given["old"] = given["tokens"].detach()
    theirs = trainer(RLOOTrainer, given["tokens"])
    mask = given["mask"]
    ours, _ = policy_loss(
        given["tokens"][mask],
        given["old"][mask],
        given["advantages"].repeat_interleave(torch.tensor(LENGTHS)),
        token_weights(LENGTHS, "constant", sum(LENGTHS), len(LENGTHS), constant=1).double(),
    )
    trl_losses.assert_same_gradient(ours, theirs._compute_loss(theirs.model, inputs(given)), given["tokens"])
