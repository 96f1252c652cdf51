"""Whole trainers of TRL on a tiny model: what their steps compute, gradients of the weights included, is what ours do.

TRL pads its rows and computes log-probabilities with its own head; ours come from transformers, a row at a time.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sartor.data.chat import Rendered
from sartor.train.advantages import group_advantages
from sartor.train.objectives.policy import Normalise, policy_loss, token_weights
from sartor.train.objectives.preference import PairLogProbs, PreferenceSettings, preference_loss
from tests import tiny_models

trl = pytest.importorskip("trl", reason="TRL is not installed (extra `bench`)")
datasets = pytest.importorskip("datasets", reason="datasets is not installed (extra `bench`)")

COMMON = dict(report_to="none", use_cpu=True, bf16=False, save_strategy="no")
PROMPTS = ["the cat sat on", "the dog said nothing", "the mat"]
CHOSEN, REJECTED = [" the mat", " to the dog at all", " sat"], [" nothing at all", " mat", " and the cat"]


def row_log_probs(model: torch.nn.Module, ids: Tensor, attended: Tensor, answered: Tensor) -> list[Tensor]:
    """log p of each answer's tokens, from a padded batch of which each row is computed alone."""
    found = []
    for row, here, answer in zip(ids, attended.bool(), answered.bool(), strict=True):
        rendered = Rendered(row[here].tolist(), answer[here].tolist())
        found.append(tiny_models.reference_log_probs(model, [rendered]))
    return found


def assert_same_step(ours: Tensor, theirs: Tensor, model: torch.nn.Module) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    our, their = (torch.autograd.grad(loss, weights, retain_graph=True) for loss in (ours, theirs))
    for mine, other in zip(our, their, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5 * float(other.abs().max()) + 1e-8)
    assert max(float(part.abs().max()) for part in their) > 1e-4


@pytest.mark.parametrize(
    ("loss_type", "settings"),
    [
        ("sigmoid", PreferenceSettings("sigmoid", beta=0.5)),
        ("ipo", PreferenceSettings("ipo", beta=0.5, length_normalised=True)),
    ],
)
def test_a_step_of_the_dpo_trainer(loss_type: str, settings: PreferenceSettings, tmp_path: Path) -> None:
    model, reference = tiny_models.model().requires_grad_(True), tiny_models.model(seed=1)
    rows = [
        {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        for prompt, chosen, rejected in zip(PROMPTS, CHOSEN, REJECTED, strict=True)
    ]
    trainer = trl.DPOTrainer(
        model,
        reference,
        args=trl.DPOConfig(
            str(tmp_path),
            beta=0.5,
            loss_type=[loss_type],
            per_device_train_batch_size=3,
            disable_dropout=True,
            **COMMON,
        ),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tiny_models.tokenizer(),
    )
    inputs = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model, dict(inputs))
    batch = (inputs["input_ids"], inputs["attention_mask"], inputs["completion_mask"])
    per_row = row_log_probs(model, *batch)
    with torch.no_grad():
        reference_rows = row_log_probs(reference, *batch)
    chosen, rejected = torch.stack([row.sum() for row in per_row]).chunk(2)
    lengths = torch.tensor([len(row) for row in per_row]).chunk(2)
    references = torch.stack([row.sum() for row in reference_rows]).chunk(2)
    ours, _ = preference_loss(PairLogProbs(chosen, rejected, *lengths, *references), 3, settings)
    assert_same_step(ours, theirs, model)


@pytest.mark.parametrize(
    ("loss_type", "normalise", "scale"),
    [("grpo", "answers", "group"), ("dapo", "tokens", "batch"), ("dr_grpo", "constant", "none")],
)
def test_a_step_of_the_grpo_trainer(loss_type: str, normalise: Normalise, scale: Any, tmp_path: Path) -> None:
    """Sampled, scored and compared by TRL; its advantages are ours, and so is its loss."""
    model = tiny_models.model().requires_grad_(True)
    scores: list[float] = []

    def score(completion_ids: list[list[int]], **_: Any) -> list[float]:
        scores[:] = [sum(ids) % 7 / 2 for ids in completion_ids]
        return scores

    trainer = trl.GRPOTrainer(
        model,
        score,
        args=trl.GRPOConfig(
            str(tmp_path),
            loss_type=loss_type,
            scale_rewards=scale,
            beta=0.0,
            num_generations=4,
            per_device_train_batch_size=8,
            max_completion_length=6,
            mask_truncated_completions=False,
            **COMMON,
        ),
        train_dataset=datasets.Dataset.from_list([{"prompt": prompt} for prompt in PROMPTS]),
        processing_class=tiny_models.tokenizer(),
    )
    trainer.current_gradient_accumulation_steps = 1
    torch.manual_seed(0)
    batch = trainer._generate_and_score_completions([{"prompt": prompt} for prompt in PROMPTS[:2] for _ in range(4)])
    advantages = group_advantages(torch.tensor(scores), 4, "mean", scale)
    torch.testing.assert_close(advantages, batch["advantages"], rtol=1e-5, atol=1e-6)
    assert float(advantages.abs().max()) > 0.1

    # TRL would load the reference model by its name, so the test stands in for it.
    trainer.beta, batch["ref_per_token_logps"] = 0.1, -4 - 2 * torch.rand(batch["completion_ids"].shape)
    theirs = trainer._compute_loss(trainer.model, batch)
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    attended = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    answered = torch.cat([torch.zeros_like(batch["prompt_mask"]), batch["completion_mask"]], 1)
    log_probs = row_log_probs(model, ids, attended, answered)
    lengths = [len(row) for row in log_probs]
    packed = torch.cat(log_probs)
    ours, _ = policy_loss(
        packed,
        packed,
        advantages.repeat_interleave(torch.tensor(lengths)),
        token_weights(lengths, normalise, sum(lengths), 8, constant=6),
        reference_log_probs=batch["ref_per_token_logps"][batch["completion_mask"].bool()],
        penalty_coefficient=0.1,
        unbiased_penalty=True,  # what TRL does if nothing is said
    )
    assert_same_step(ours, theirs, model)
