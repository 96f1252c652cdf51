"""Trying learning rates on a real model: it is loaded once, and what is trained and its optimizer are swapped."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sartor.adapters.lora import lora_layers
from sartor.base.console import format_seconds, say, warn
from sartor.base.device import device, memory
from sartor.base.seeds import seed_everything
from sartor.data.batches import BatchSource
from sartor.data.chat import Rendered
from sartor.recipes.examples import Prepared, supervised_loss
from sartor.recipes.planning import measure_step
from sartor.recipes.step_count import epochs_steps
from sartor.recipes.supervised import SupervisedConfig
from sartor.train.checkpoint import LoopState
from sartor.train.learning_rate import GRIDS, RateFound, SearchPlan, least_seconds, plan_search, search, trunk_steps
from sartor.train.likelihood import Floats, row_losses
from sartor.train.loop import LoopSettings, NotFinite, fit
from sartor.train.optimizer import Optimizer, trainable_parameters

SHORT_RUN_STEPS = 100
SHORT_RUN_FACTOR = 1.5  # LoRA's best rate is 10 times full training's, but 15 times in runs of under 100 steps
MEASURING_SHARE = 0.25  # of the time goes to held-out losses at most
LEAST_HELD_OUT_ROWS = 16
MEMORY_SHARE = 0.5  # of what is free may be used to keep what rates have learnt
FLOATS_A_WEIGHT = 3  # a kept weight and AdamW's two moments, float32


@dataclass(frozen=True)
class RateSearch:
    """A search with what it was compared with: the rate to `expect`, the run's `planned_steps`, the rate to take."""

    found: RateFound
    expected: float
    planned_steps: int
    held_out_rows: int
    seconds: float

    @property
    def learning_rate(self) -> float:
        return self.found.recommended(self.expected, self.planned_steps)


@dataclass(frozen=True)
class Costs:
    """Seconds that things take on this machine, and the losses measured on the way."""

    step_seconds: float
    measure_seconds: float
    held_out: list[Rendered]
    start_losses: Floats


def search_rate(
    config: SupervisedConfig,
    prepared: Prepared,
    model: PreTrainedModel,
    seconds: float,
    rates: Sequence[float] = (),
) -> RateSearch | None:
    """Search the learning rate of the run that `config` describes in about `seconds`. `model` is as `trainable_model`
    gives it; its trained weights are used up.

    None, with the reason told, when the time or memory is too short for three rates, or when no rate lowers the
    held-out loss.
    """
    started = time.monotonic()
    source = prepared.source(config)
    costs = _costs(config, prepared, model, source, seconds)
    planned = planned_steps(config, source, costs.step_seconds)
    expected = expected_rate(config, planned)
    left = seconds - (time.monotonic() - started)
    most_rates = rates_that_fit(model)
    plan = plan_search(expected, left, costs.step_seconds, costs.measure_seconds, planned, rates, most_rates)
    if plan is None:
        say(_refusal(costs, planned, rates, most_rates))
        return None
    say(_announcement(plan, costs))
    trials = RateTrials(config, prepared, model, costs.held_out, max(plan.horizons))
    clock = _Clock(started, seconds)
    sizes = np.array([row.num_trained for row in costs.held_out], dtype=np.float64)
    found = search(trials, plan, sizes, costs.start_losses, clock.is_late, clock.tell)
    if found is None:
        warn("no learning rate that was tried lowers the held-out loss")
        return None
    return RateSearch(found, expected, planned, len(costs.held_out), time.monotonic() - started)


def planned_steps(config: SupervisedConfig, source: BatchSource, step_seconds: float) -> int:
    """Steps of the run that the rate is for."""
    steps = epochs_steps(config, source.steps_per_epoch)
    if config.max_minutes is None:
        return steps
    return max(1, min(steps, int(config.max_minutes * 60 / step_seconds)))


def expected_rate(config: SupervisedConfig, num_steps: int) -> float:
    """The rate to expect before anything is measured: the one that is set, else the default, for an adapter half as
    much again in a short run (LoRA Without Regret, Thinking Machines 2025)."""
    if config.learning_rate is None and config.adapter != "none" and num_steps < SHORT_RUN_STEPS:
        return SHORT_RUN_FACTOR * config.peak_learning_rate
    return config.peak_learning_rate


def rates_that_fit(model: nn.Module) -> int:
    """How many rates' weights and optimizer states can be kept beside the model, the start and the repeat."""
    trained = sum(parameter.numel() for parameter in trainable_parameters(model).values())
    each = trained * FLOATS_A_WEIGHT * torch.finfo(torch.float32).bits // 8
    return int(MEMORY_SHARE * memory(device()).available_bytes / each) - 2


def _costs(
    config: SupervisedConfig, prepared: Prepared, model: nn.Module, source: BatchSource, seconds: float
) -> Costs:
    """Time a step and a measurement; hold out fewer rows where measuring would take too much of the time."""
    held_out = prepared.dev_rows
    started = time.monotonic()
    losses = row_losses(model, held_out, config.micro_batch_tokens)
    measure_seconds = time.monotonic() - started
    measurements = 3 * len(GRIDS[0])  # about as many as the widest search makes
    share = MEASURING_SHARE * seconds / (measurements * measure_seconds)
    if share < 1 and len(held_out) > LEAST_HELD_OUT_ROWS:
        kept = max(LEAST_HELD_OUT_ROWS, int(share * len(held_out)))
        chosen = [place * len(held_out) // kept for place in range(kept)]
        say(f"measuring on {kept} of {len(held_out)} held-out rows, evenly spread, to save time")
        measure_seconds *= kept / len(held_out)
        held_out, losses = [held_out[place] for place in chosen], losses[chosen]
    step_seconds = measure_step(model, source, supervised_loss, epochs_steps(config, source.steps_per_epoch))
    return Costs(step_seconds, measure_seconds, held_out, losses)


def _announcement(plan: SearchPlan, costs: Costs) -> str:
    seconds = plan.seconds(costs.step_seconds, costs.measure_seconds)
    lengths = ", ".join(map(str, plan.horizons))
    rates = ", ".join(f"{rate:.2g}" for rate in plan.rates)
    return (
        f"trying learning rates {rates} for {lengths} steps, the better half further: about {format_seconds(seconds)}"
    )


def _refusal(costs: Costs, planned: int, rates: Sequence[float], most_rates: int) -> str:
    fewest = len(rates) or len(GRIDS[-1])
    if most_rates < fewest:
        return (
            f"no search for a learning rate: memory is free to keep {max(most_rates, 0)} rates, and {fewest} are needed"
        )
    needed = format_seconds(least_seconds(costs.step_seconds, costs.measure_seconds, planned, rates))
    return f"no search for a learning rate: {fewest} rates need about {needed} beside the time to begin"


class RateTrials:
    """A `Trial`: trains one model at one rate and another, each going on where it stood."""

    def __init__(
        self,
        config: SupervisedConfig,
        prepared: Prepared,
        model: PreTrainedModel,
        held_out: Sequence[Rendered],
        longest_steps: int,
    ):
        self.config, self.prepared, self.model, self.held_out = config, prepared, model, list(held_out)
        self.warmup_steps = min(round(config.warmup_share * longest_steps), longest_steps // 4)
        self._start = {name: weight.detach().clone() for name, weight in trainable_parameters(model).items()}
        self._kept: dict[tuple[float, int], Memory] = {}

    def __call__(self, rate: float, steps: int, repeat: int) -> Floats | None:
        seed = self.config.seed + repeat
        source = self.prepared.source(self.config.model_copy(update={"seed": seed}))
        kept = self._kept.setdefault((rate, repeat), Memory())
        self.model.zero_grad(set_to_none=True)  # a trial that diverged leaves gradients behind
        if kept.state is None:
            self._begin(seed, repeat)
        trunk = LoopSettings(
            num_steps=trunk_steps(steps),
            learning_rate=rate,
            warmup_steps=min(self.warmup_steps, trunk_steps(steps)),
            schedule="constant",
            weight_decay=self.config.weight_decay,
            clip_norm=self.config.clip_norm,
            save_every=steps,
            seed=seed,
            optimizer=self.config.optimizer,
        )
        branch = replace(trunk, num_steps=steps, schedule="wsd", decay_share=1 - trunk.num_steps / steps)
        try:
            if trunk.num_steps:
                fit(self.model, source, supervised_loss, trunk, checkpoints=kept)
            fit(self.model, source, supervised_loss, branch, checkpoints=Branch(kept))
        except NotFinite:
            self._kept.pop((rate, repeat))
            return None
        return row_losses(self.model, self.held_out, self.config.micro_batch_tokens)

    @torch.no_grad()
    def _begin(self, seed: int, repeat: int) -> None:
        """The weights as they were; for a repeat the adapter starts from other random numbers."""
        for name, parameter in trainable_parameters(self.model).items():
            parameter.copy_(self._start[name])
        if repeat:
            seed_everything(seed)
            for layer in lora_layers(self.model).values():
                nn.init.kaiming_uniform_(layer.lora_A, a=math.sqrt(5))


@dataclass
class Memory:
    """Keeps a loop's state where the model is, to go on from; the loop's `Keeper`."""

    state: LoopState | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)
    moments: dict[str, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def restore(self, optimizer: Optimizer, accept_changed_environment: bool) -> LoopState | None:
        if self.state is None:
            return None
        for name, master in optimizer.weights.masters.items():
            master.copy_(self.weights[name])
        optimizer.weights.publish()
        optimizer.load_state(self.moments)
        return replace(self.state, history=[])

    def log(self, state: LoopState, tokens_per_second: float) -> None:
        """Nothing is written down: trials are thrown away."""

    def save(self, state: LoopState, optimizer: Optimizer) -> None:
        self.state = replace(state, history=[])
        self.weights = {name: master.detach().clone() for name, master in optimizer.weights.masters.items()}
        self.moments = {name: value.clone() for name, value in optimizer.state().items()}


class Branch:
    """Goes on from what another keeper kept, and keeps nothing."""

    def __init__(self, trunk: Memory):
        self.trunk = trunk

    def restore(self, optimizer: Optimizer, accept_changed_environment: bool) -> LoopState | None:
        return self.trunk.restore(optimizer, accept_changed_environment)

    def log(self, state: LoopState, tokens_per_second: float) -> None:
        """Nothing is written down."""

    def save(self, state: LoopState, optimizer: Optimizer) -> None:
        """The branch ends here."""


class _Clock:
    """Tells of each measurement with what time is left, and knows when the time is up."""

    def __init__(self, started: float, seconds: float):
        self.started, self.seconds = started, seconds
        self.begun = time.monotonic()

    def is_late(self) -> bool:
        return time.monotonic() - self.started > self.seconds

    def tell(self, rate: float, steps: int, loss: float | None, share: float) -> None:
        left = (time.monotonic() - self.begun) * (1 - share) / share
        shown = "diverged" if loss is None else f"held-out loss {loss:.4f}"
        say(f"rate {rate:.2g}, {steps} steps: {shown} (about {format_seconds(left)} left)")
