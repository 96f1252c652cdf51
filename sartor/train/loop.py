"""The one training loop: accumulate, check, clip, step, evaluate, keep the best, save, resume.

A method of training is a source of batches and a loss; the loop names none of them.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from sartor.base.console import progress, warn
from sartor.base.distributed import any_of, from_main, is_main, rank, sum_over
from sartor.base.errors import Interrupted, SartorError
from sartor.base.seeds import seed_step
from sartor.base.signals import StopRequest
from sartor.data.packing import MicroBatch
from sartor.train.alarms import alarms, new_alarms
from sartor.train.checkpoint import LoopState
from sartor.train.optimizer import BETA2, Optimizer, OptimizerName, gradient_norm
from sartor.train.parallel import deal, same_start, sum_gradients
from sartor.train.schedule import DECAY_SHARE, DecayShape, ScheduleName, learning_rate_factor

# (model, micro-batch, units of the whole step) -> (share of the loss, metrics to sum)
LossOf = Callable[[nn.Module, Any, int], tuple[Tensor, dict[str, float]]]
# model -> metrics on held-out rows, at least the one of LoopSettings.best_by; of several processes each computes all
# of them (layers that are shared out can only be computed together), and the main one's count
Evaluate = Callable[[nn.Module], dict[str, float]]


class Source(Protocol):
    def step(self, step: int) -> Sequence[MicroBatch]:
        """The micro-batches of optimizer step `step`, always the same for the same step and in every process."""
        ...


@runtime_checkable
class StatefulSource(Source, Protocol):
    """A source whose batches depend on more than the step, such as on answers of the model as it was some steps ago."""

    def state(self) -> dict[str, Tensor]:
        """What the coming steps depend on, to be saved with the weights."""
        ...

    def load_state(self, tensors: Mapping[str, Tensor]) -> None: ...

    def metrics(self) -> dict[str, float]:
        """What is to be told of the step whose batches were made last."""
        ...


class Keeper(Protocol):
    """Where a run's state is kept and gone on from: its folder (`Checkpoints`), or memory."""

    def restore(self, optimizer: Optimizer, accept_changed_environment: bool) -> LoopState | None: ...

    def log(self, state: LoopState, tokens_per_second: float) -> None: ...

    def save(self, state: LoopState, optimizer: Optimizer) -> None: ...


BestBy = Literal["dev_loss", "dev_score", "dev_reward"]


class NotFinite(SartorError):
    """A loss or gradient became infinite or no number: training diverged, and the step was not made."""


@dataclass(frozen=True)
class LoopSettings:
    """How a model is trained.

    `evaluate_every` and `save_every` in steps. `best_by` names the held-out metric that decides which weights are
    kept: `dev_loss` (lower is better), or another (higher; of equal ones that with the lower `dev_loss`).
    `patience` counts evaluations without a better one before training stops (None: never). `clip_norm` bounds the
    gradient's norm. `beta2` is AdamW's decay of squared gradients. `decay_share` and `decay_shape` are of the schedule
    `wsd`. `accept_changed_environment` lets a run go on where it cannot go on bit for bit (another machine, torch,
    number of threads or processes).
    """

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
    optimizer: OptimizerName = "adamw"
    beta2: float = BETA2
    decay_share: float = DECAY_SHARE
    decay_shape: DecayShape = "sqrt"
    best_by: BestBy = "dev_loss"
    accept_changed_environment: bool = False

    def rate(self, step: int) -> float:
        """The learning rate of 0-based `step`."""
        return self.learning_rate * learning_rate_factor(
            self.schedule,
            step,
            self.num_steps,
            self.warmup_steps,
            decay_share=self.decay_share,
            decay_shape=self.decay_shape,
        )


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
    checkpoints: Keeper | None = None,
) -> FitResult:
    """Train in place and leave the model with its best weights. Interrupted (exit 75) after a stop signal, with
    everything saved; NotFinite before the optimizer step if the loss or gradient is not finite."""
    with Optimizer(model, settings.optimizer, settings.weight_decay, settings.beta2) as optimizer:
        state = None
        if checkpoints is not None:
            state = checkpoints.restore(optimizer, settings.accept_changed_environment)
        if state is None:
            state = LoopState()
            same_start(optimizer.weights)
        elif isinstance(source, StatefulSource):
            source.load_state(state.source)
        with training_mode(model), StopRequest() as stop:
            _train(model, source, loss_of, settings, evaluate, checkpoints, optimizer, state, stop)
        if state.best_weights:
            optimizer.weights.load_model_weights(state.best_weights)
    return FitResult(
        state.step,
        state.best_step or state.step,
        state.best,
        state.stopped_early,
        state.train_loss,
        state.seconds,
        state.history,
    )


def _train(
    model: nn.Module,
    source: Source,
    loss_of: LossOf,
    settings: LoopSettings,
    evaluate: Evaluate | None,
    checkpoints: Keeper | None,
    optimizer: Optimizer,
    state: LoopState,
    stop: StopRequest,
) -> None:
    """Steps from where `state` stands to the end."""
    started = time.monotonic() - state.seconds
    told = {alarm.name for alarm in alarms(state.history)}
    with progress("training", settings.num_steps, state.step) as bar:
        while state.step < settings.num_steps and not state.stopped_early:
            begun = time.monotonic()
            state.record(_step(model, source, loss_of, settings, optimizer, state.step))
            tokens_per_second = state.history[-1]["row_tokens"] / (time.monotonic() - begun)
            if evaluate is not None and _due(state.step, settings.evaluate_every, settings.num_steps):
                _evaluate(model, evaluate, state, optimizer, settings)
            state.seconds = time.monotonic() - started
            _warn(state, told)
            bar.update(state.step, f"loss {state.train_loss:.3f}{_best_note(state, settings.best_by)}")
            last = state.step >= settings.num_steps or state.stopped_early
            stopped = any_of(stop.requested)
            if checkpoints is not None:
                checkpoints.log(state, tokens_per_second)
                if last or stopped or state.step % settings.save_every == 0:
                    if isinstance(source, StatefulSource):
                        state.source = source.state()
                    checkpoints.save(state, optimizer)
            if stopped:
                raise Interrupted(
                    f"stopped after step {state.step} of {settings.num_steps}",
                    hint="run the same command again to go on",
                )


def _step(
    model: nn.Module, source: Source, loss_of: LossOf, settings: LoopSettings, optimizer: Optimizer, step: int
) -> dict[str, float]:
    """One optimizer step over all its micro-batches. The random state is a function of seed, step and process."""
    seed_step(settings.seed, step)
    batches = source.step(step)
    if rank():
        seed_step(settings.seed, step, rank())
    metrics = _gradients(model, batches, loss_of, step)
    sum_gradients(optimizer.weights)
    norm = gradient_norm(optimizer.weights)
    if not math.isfinite(float(norm)):
        raise NotFinite(
            f"the gradient became {float(norm)} at step {step + 1}; nothing was updated",
            where=", ".join([where for batch in batches for where in batch.where if where][:3]) or None,
            hint="lower --learning-rate, or look at this step's rows",
        )
    torch.nn.utils.clip_grads_with_norm_(optimizer.weights.masters.values(), settings.clip_norm, norm)
    rate = settings.rate(step)
    optimizer.step(rate)
    return {
        "step": step + 1,
        **metrics,
        **(source.metrics() if isinstance(source, StatefulSource) else {}),
        "learning_rate": rate,
        "gradient_norm": float(norm),
        "trained_tokens": sum(batch.num_trained for batch in batches),
        "row_tokens": sum(batch.num_row_tokens for batch in batches),
    }


def _gradients(model: nn.Module, batches: Sequence[MicroBatch], loss_of: LossOf, step: int) -> dict[str, float]:
    """Gradients of the whole step, summed over micro-batches, in the optimizer's weights; the step's
    summed metrics. SartorError, in every process, where a loss is not finite."""
    device = next(model.parameters()).device
    num_units = sum(batch.num_units for batch in batches)
    metrics: dict[str, float] = {}
    problem: SartorError | None = None
    for batch, counts in deal(batches):
        loss, parts = loss_of(model, batch.to(device), num_units)
        if problem is None and not math.isfinite(value := float(loss.detach())):
            problem = _not_finite(value, batch, step)
        (loss if counts else 0 * loss).backward()  # type: ignore[no-untyped-call]
        for name, part in parts.items():
            metrics[name] = metrics.get(name, 0.0) + (part if counts else 0.0)
    if any_of(problem is not None):  # asked after the last backward pass, which takes all processes
        raise problem or NotFinite(f"another process stopped at step {step + 1}; nothing was updated")
    return dict(zip(metrics, sum_over(list(metrics.values())), strict=True))


def _not_finite(loss: float, batch: MicroBatch, step: int) -> NotFinite:
    return NotFinite(
        f"the loss became {loss} at step {step + 1}; nothing was updated",
        where=", ".join(filter(None, batch.where[:3])) or None,
        hint="lower --learning-rate, or look at these rows",
    )


def _evaluate(
    model: nn.Module, evaluate: Evaluate, state: LoopState, optimizer: Optimizer, settings: LoopSettings
) -> None:
    with evaluation_mode(model):
        measured = evaluate(model)
    scores = dict(zip(measured, from_main(list(measured.values())), strict=True))
    state.history[-1].update(scores)
    if not math.isfinite(scores[settings.best_by]):
        raise SartorError(
            f"{settings.best_by} became {scores[settings.best_by]} after step {state.step}",
            hint="lower --learning-rate; the last checkpoint is whole",
        )
    if not state.best or _goodness(scores, settings.best_by) > _goodness(state.best, settings.best_by):
        state.best, state.best_step, state.without_progress = dict(scores), state.step, 0
        state.best_weights = optimizer.weights.model_weights()
    else:
        state.without_progress += 1
        state.stopped_early = settings.patience is not None and state.without_progress >= settings.patience


def _goodness(scores: dict[str, float], best_by: str) -> tuple[float, ...]:
    """Greater is better."""
    loss = -scores.get("dev_loss", 0.0)
    return (loss,) if best_by == "dev_loss" else (scores[best_by], loss)


def _warn(state: LoopState, told: set[str]) -> None:
    """Say each alarm that the last step sets off, once a run."""
    for alarm in new_alarms(state.history, told):
        told.add(alarm.name)
        if is_main():
            warn(" ".join(alarm.sentences()))


def _due(step: int, every: int, num_steps: int) -> bool:
    return step % every == 0 or step == num_steps


def _best_note(state: LoopState, best_by: str) -> str:
    return f", best {best_by.replace('_', ' ')} {state.best[best_by]:.3f}" if state.best else ""


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
