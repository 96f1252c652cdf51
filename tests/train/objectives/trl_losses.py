"""TRL's own loss code, run on log-probabilities that a test gives it instead of on a model.

A trainer is made without its constructor and given the attributes that its loss reads; everything between the
log-probabilities and the loss is TRL's.
"""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("trl", reason="TRL is not installed (extra `bench`)")


class GivenModel:
    """Answers a trainer's forward pass with what the test made up."""

    training = False

    def __init__(self, **outputs: Tensor) -> None:
        self.outputs = outputs

    def __call__(self, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(**self.outputs)


def made(trainer_class: type, model: Any, **attributes: Any) -> Any:
    trainer = object.__new__(trainer_class)
    accelerator = SimpleNamespace(
        device=torch.device("cpu"),
        num_processes=1,
        gather=lambda values: values,
        gather_for_metrics=lambda values: values,
        reduce=lambda values, reduction: values,
    )
    always = {"_metrics": {"train": defaultdict(list), "eval": defaultdict(list)}, "_total_train_tokens": 0}
    trainer.__dict__.update(always, model=model, accelerator=accelerator, aux_loss_enabled=False, **attributes)
    return trainer


def scored(token_log_probs: Tensor) -> GivenModel:
    """What TRL's fused head returns: log-probabilities [R, T], and diagnostics that only its metrics read."""
    zeros = torch.zeros_like(token_log_probs)
    return GivenModel(log_probs=token_log_probs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())


def answers(lengths: list[int], seed: int, width: int) -> tuple[Tensor, Tensor]:
    """Made-up per-token log-probabilities [R, width], to be differentiated, and the mask of answers of `lengths`."""
    generator = torch.Generator().manual_seed(seed)
    log_probs = -3 * torch.rand(len(lengths), width, generator=generator, dtype=torch.float64)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return (log_probs * mask).requires_grad_(), mask


def assert_same(ours: Tensor, theirs: Tensor, tokens: Tensor) -> None:
    """Losses and their gradients to the answers' tokens; after an answer's end, where tokens are 0, nothing counts."""
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)
    assert_same_gradient(ours, theirs, tokens)


def assert_same_gradient(ours: Tensor, theirs: Tensor, tokens: Tensor) -> None:
    our, their = (torch.autograd.grad(loss, tokens, retain_graph=True)[0][tokens != 0] for loss in (ours, theirs))
    assert float(their.abs().max()) > 1e-4
    torch.testing.assert_close(our, their, rtol=1e-6, atol=1e-8)
