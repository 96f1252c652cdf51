"""The one training loop: accumulate, check, clip, step, evaluate, keep the best, save, resume.

A method of training is a source of batches and a loss; the loop names none of them.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from sartor.base.console import progress
from sartor.base.errors import Interrupted, SartorError
from sartor.base.seeds import seed_everything
from sartor.base.signals import StopRequest
from sartor.data.packing import Batch
from sartor.train.checkpoint import Checkpoints, LoopState
from sartor.train.optimizer import adamw, global_norm, trainable_parameters
from sartor.train.schedule import ScheduleName, learning_rate_factor

# (model, micro-batch, trained tokens of the whole step) -> (share of the loss, metrics to sum)
LossOf = Callable[[nn.Module, Batch, int], tuple[Tensor, dict[str, float]]]
# model -> metrics on held-out rows; `dev_loss` decides which weights are kept
Evaluate = Callable[[nn.Module], dict[str, float]]


class Source(Protocol):
    def step(self, step: int) -> list[Batch]:
        """The micro-batches of optimizer step `step`, always the same for the same step."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """`evaluate_every` and `save_every` in steps; `patience` counts evaluations without a better `dev_loss`
    before training stops (None: never); `clip_norm` bounds the gradient's norm."""

    num_steps: int
    learning_rate: float
    warmup_steps: int = 0
    schedule: ScheduleName = "cosine"
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    evaluate_every: int = 50
    save_every: int = 50
    patience: int | None = None
    seed: int = 0


@dataclass
class FitResult:
    """What training came to. The model holds the weights of `best_step`."""

    steps: int
    best_step: int
    best: dict[str, float]
    stopped_early: bool
    train_loss: float
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    model: nn.Module,
    source: Source,
    loss_of: LossOf,
    settings: LoopSettings,
    evaluate: Evaluate | None = None,
    checkpoints: Checkpoints | None = None,
) -> FitResult:
    """Train in place and leave the model with its best weights. Interrupted (exit 75) after a stop signal, with
    everything saved; SartorError before the optimizer step if the loss or gradient is not finite."""
    trainable = trainable_parameters(model)
    optimizer = adamw(trainable, settings.weight_decay)
    state = LoopState()
    if checkpoints is not None and (found := checkpoints.restore(trainable, optimizer)) is not None:
        state = found
    started = time.monotonic() - state.seconds
    with training_mode(model), StopRequest() as stop, progress("training", settings.num_steps) as bar:
        bar.update(state.step)
        while state.step < settings.num_steps and not state.stopped_early:
            metrics = _step(model, source, loss_of, settings, trainable, optimizer, state.step)
            state.record(metrics)
            if evaluate is not None and _due(state.step, settings.evaluate_every, settings.num_steps):
                _evaluate(model, evaluate, state, trainable, settings.patience)
            state.seconds = time.monotonic() - started
            bar.update(state.step, f"loss {state.train_loss:.3f}{_best_note(state)}")
            last = state.step >= settings.num_steps or state.stopped_early
            if checkpoints is not None:
                checkpoints.log(state)
                if last or stop.requested or state.step % settings.save_every == 0:
                    checkpoints.save(state, trainable, optimizer)
            if stop.requested and not last:
                raise Interrupted(
                    f"stopped after step {state.step} of {settings.num_steps}",
                    hint="run the same command again to go on",
                )
    if state.best_weights:
        _load(trainable, state.best_weights)
    return FitResult(
        state.step,
        state.best_step or state.step,
        state.best,
        state.stopped_early,
        state.train_loss,
        state.seconds,
        state.history,
    )


def _step(
    model: nn.Module,
    source: Source,
    loss_of: LossOf,
    settings: LoopSettings,
    trainable: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    step: int,
) -> dict[str, float]:
    """One optimizer step over all its micro-batches. The random state is a function of seed and step."""
    seed_everything(settings.seed * 1_000_003 + step)
    device = next(iter(trainable.values())).device
    batches = source.step(step)
    num_trained = sum(batch.num_trained for batch in batches)
    metrics: dict[str, float] = {}
    for batch in batches:
        loss, parts = loss_of(model, batch.to(device), num_trained)
        if not math.isfinite(loss_value := float(loss.detach())):
            raise SartorError(
                f"the loss became {loss_value} at step {step + 1}; nothing was updated",
                where=", ".join(filter(None, batch.where[:3])) or None,
                hint="lower --learning-rate, or look at these rows",
            )
        loss.backward()  # type: ignore[no-untyped-call]
        for name, value in parts.items():
            metrics[name] = metrics.get(name, 0.0) + value
    norm = global_norm(trainable)
    if not math.isfinite(float(norm)):
        raise SartorError(
            f"the gradient became {float(norm)} at step {step + 1}; nothing was updated", hint="lower --learning-rate"
        )
    torch.nn.utils.clip_grads_with_norm_(trainable.values(), settings.clip_norm, norm)
    rate = settings.learning_rate * learning_rate_factor(
        settings.schedule, step, settings.num_steps, settings.warmup_steps
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {
        "step": step + 1,
        **metrics,
        "learning_rate": rate,
        "gradient_norm": float(norm),
        "trained_tokens": num_trained,
        "row_tokens": sum(batch.num_row_tokens for batch in batches),
    }


def _evaluate(
    model: nn.Module, evaluate: Evaluate, state: LoopState, trainable: dict[str, nn.Parameter], patience: int | None
) -> None:
    with evaluation_mode(model):
        scores = evaluate(model)
    state.history[-1].update(scores)
    if not state.best or scores["dev_loss"] < state.best["dev_loss"]:
        state.best, state.best_step, state.without_progress = dict(scores), state.step, 0
        state.best_weights = {name: parameter.detach().clone() for name, parameter in trainable.items()}
    else:
        state.without_progress += 1
        state.stopped_early = patience is not None and state.without_progress >= patience


def _due(step: int, every: int, num_steps: int) -> bool:
    return step % every == 0 or step == num_steps


def _best_note(state: LoopState) -> str:
    return f", best dev loss {state.best['dev_loss']:.3f}" if state.best else ""


@torch.no_grad()
def _load(trainable: dict[str, nn.Parameter], weights: dict[str, Tensor]) -> None:
    for name, parameter in trainable.items():
        parameter.copy_(weights[name])


@contextmanager
def training_mode(model: nn.Module) -> Iterator[None]:
    model.train()
    try:
        yield
    finally:
        model.eval()


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train()
