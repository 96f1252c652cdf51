"""The plan of a training run: what it will take in memory, time, disk and money, told from a run in small.

Nothing is reckoned from formulas: the steps that need the most memory, some typical ones, an evaluation, a checkpoint
and the result are done as the run does them, in a process of its own.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field

from sartor.base.configuration import Config
from sartor.base.console import say
from sartor.base.errors import SartorError
from sartor.recipes.measured import Measured, try_run
from sartor.recipes.settings import TrainingConfig
from sartor.recipes.step_count import PROBE_STEPS, schedule
from sartor.recipes.supervised import SupervisedConfig

CHECKPOINTS_KEPT = 2
FEWEST_MICRO_BATCH_TOKENS = 64
UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "mib": 2**20, "gib": 2**30, "tib": 2**40}


class PlanOptions(Config):
    """What a run is measured against."""

    memory: str | None = Field(
        None,
        pattern=r"(?i)^\d+(\.\d+)?\s*([kmgt]?b|[mgt]ib)$",
        description="memory that the run may use, such as 8gb (default: what is free on this machine)",
    )
    price_per_hour: float | None = Field(None, ge=0, description="price of an hour of this machine, for the run's cost")
    sample_steps: int = Field(6, ge=2, description="typical steps to measure: more make the estimate surer")
    alternatives: bool = Field(True, description="where it does not fit, try what would")


class PlanConfig(PlanOptions, SupervisedConfig):
    """Settings of `sartor plan`: those of the run, and what it is measured against."""


@dataclass(frozen=True)
class Alternative:
    """A changed setting that was tried: the peak memory it takes, None where it failed; `problem` says how."""

    options: str
    peak_bytes: int | None
    fits: bool
    problem: str | None = None


@dataclass(frozen=True)
class Estimate:
    """What the whole run takes. `seconds` between `seconds_least` and `seconds_most`, which take all steps to be as
    quick, or as slow, as the quickest and the slowest one measured."""

    steps: int
    evaluations: int
    seconds: float
    seconds_least: float
    seconds_most: float
    tokens_per_second: float
    disk_bytes: int
    watt_hours: float
    cost: float | None


@dataclass(frozen=True)
class RunPlan:
    """`measured` and `estimate` are None when not even one step fitted into memory."""

    fits: bool
    limit_bytes: int | None
    measured: Measured | None
    estimate: Estimate | None
    alternatives: tuple[Alternative, ...]

    def as_dict(self) -> dict[str, Any]:
        found = asdict(self)
        if self.measured is not None:
            found["measured"]["memory"] |= {
                "peak": self.measured.memory.peak,
                "activations": self.measured.memory.activations,
            }
        return found


def run(config: PlanConfig) -> RunPlan:
    """The plan of a fine-tuning run."""
    return plan_of(config, config)


def plan_of(config: TrainingConfig, options: PlanOptions) -> RunPlan:
    """Try the run in small and tell the whole; where it does not fit, try what could be changed."""
    measured = try_run(config, options.sample_steps)
    limit = parse_bytes(options.memory) if options.memory is not None else None
    if limit is None and measured is not None:
        limit = measured.memory.available
    fits = measured is not None and limit is not None and measured.memory.peak <= limit
    alternatives = () if fits or not options.alternatives else try_alternatives(config, measured, limit)
    whole = None if measured is None else estimate(config, measured, options.price_per_hour)
    return RunPlan(fits, limit, measured, whole, alternatives)


def estimate(config: TrainingConfig, measured: Measured, price_per_hour: float | None = None) -> Estimate:
    """The whole run from what was measured."""
    work, times = measured.work, measured.times
    step_seconds = times.token * work.step_tokens
    before_first_step = times.start + times.beforehand + times.evaluation + PROBE_STEPS * step_seconds
    num_steps, every = schedule(config, work.steps_per_epoch, step_seconds, times.evaluation, before_first_step)
    evaluations = -(-num_steps // every)
    apart = times.start + times.beforehand + times.result
    apart += (evaluations + 1) * times.evaluation + evaluations * times.checkpoint

    def whole(token_seconds: float) -> float:
        return apart + (num_steps + PROBE_STEPS) * token_seconds * work.step_tokens

    seconds = whole(times.token)
    checkpoints = min(evaluations, CHECKPOINTS_KEPT + 1)  # an old one goes when the new one is whole
    return Estimate(
        steps=num_steps,
        evaluations=evaluations,
        seconds=seconds,
        seconds_least=whole(times.token_least),
        seconds_most=whole(times.token_most),
        tokens_per_second=work.step_row_tokens / step_seconds,
        disk_bytes=checkpoints * times.checkpoint_bytes + times.result_bytes,
        watt_hours=times.watts * seconds / 3600,
        cost=None if price_per_hour is None else price_per_hour * seconds / 3600,
    )


def try_alternatives(config: TrainingConfig, measured: Measured | None, limit: int | None) -> tuple[Alternative, ...]:
    """Changes that cost little first, each tried, until one fits."""
    tried: list[Alternative] = []
    for options, changed in changes(config):
        say(f"it does not fit; trying {options}")
        try:
            found = try_run(changed, sample_steps=0)
        except SartorError as error:
            tried.append(Alternative(options, None, False, error.what))
            continue
        peak = None if found is None else found.memory.peak
        allowed = limit if limit is not None or found is None else found.memory.available
        fits = peak is not None and allowed is not None and peak <= allowed
        tried.append(Alternative(options, peak, fits, None if peak is not None else "out of memory"))
        if fits:
            break
    return tuple(tried)


def changes(config: TrainingConfig) -> list[tuple[str, TrainingConfig]]:
    """Options to add to the command, and the settings they make: smaller micro-batches cost a little speed,
    checkpointing a forward pass, a smaller optimizer or a 4-bit base precision."""
    found: list[dict[str, Any]] = []
    half, quarter = (max(FEWEST_MICRO_BATCH_TOKENS, config.micro_batch_tokens // part) for part in (2, 4))
    found += [{"micro_batch_tokens": tokens} for tokens in dict.fromkeys((half, quarter))]
    least: dict[str, Any] = {"micro_batch_tokens": quarter}
    if not config.activation_checkpointing:
        least["activation_checkpointing"] = True
        found.append(dict(least))
    if config.adapter == "none":
        if config.optimizer == "adamw":
            found.append(least | {"optimizer": "adamw8bit"})
        found.append(least | {"adapter": "lora", "optimizer": "adamw"})
    if config.adapter != "qlora":
        found.append(least | {"adapter": "qlora", "optimizer": "adamw"})
    named = [(_as_options(config, each), config.model_copy(update=each)) for each in found]
    return [(options, changed) for options, changed in named if options]


def _as_options(config: TrainingConfig, changed: dict[str, Any]) -> str:
    words = []
    for name, value in changed.items():
        if getattr(config, name) != value:
            option = "--" + name.replace("_", "-")
            words.append(option if value is True else f"{option} {value}")
    return " ".join(words)


def parse_bytes(text: str) -> int:
    """`8gb` -> 8,000,000,000; `8gib` -> 8,589,934,592."""
    found = re.fullmatch(r"([\d.]+)\s*([a-z]+)", text.strip().lower())
    assert found is not None, "the setting's pattern was checked"
    return round(float(found[1]) * UNITS[found[2]])
