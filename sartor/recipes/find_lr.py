"""The learning rate of a fine-tuning run, searched for with short runs that are compared on held-out rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from sartor.recipes.supervised import SupervisedConfig


class FindLrConfig(SupervisedConfig):
    """Settings of `sartor find-lr`: those of the run that the rate is for, and how long to search."""

    minutes: float = Field(5.0, gt=0, description="how long to search")
    rates: list[float] = Field([], description="rates to try (default: a grid around the one to expect)")
    out: str | None = Field(None, description="new folder for the page and the chart")

    @field_validator("rates")
    @classmethod
    def _two_positive_rates(cls, rates: list[float]) -> list[float]:
        if rates and (len(set(rates)) < 2 or len(set(rates)) < len(rates) or min(rates) <= 0):
            raise ValueError("give at least two different rates above 0")
        return rates


@dataclass(frozen=True)
class FoundRate:
    """What `sartor find-lr` answers; `rates` are records as in its JSON."""

    learning_rate: float
    plateau: tuple[float, float]
    expected: float
    rates: list[dict[str, Any]]
    notes: list[str]
    as_json: dict[str, Any]
    out: Path | None


def run(config: FindLrConfig) -> FoundRate:
    """Search as configured. SartorError when the time is too short for a search or when no rate helps."""
    from sartor.base.distributed import world_size
    from sartor.base.errors import Interrupted, SartorError, UsageError
    from sartor.base.run_folder import require_free
    from sartor.recipes.examples import prepare
    from sartor.recipes.rate_report import describe, notes, write_report
    from sartor.recipes.rate_trials import search_rate
    from sartor.recipes.training import trainable_model

    if world_size() > 1:
        raise UsageError("a search runs in one process", hint="start it without torchrun; the rate holds for both")
    if config.out is not None:
        require_free(Path(config.out))
    prepared = prepare(config)
    model = trainable_model(config, prepared.base)
    try:
        found = search_rate(config, prepared, model, config.minutes * 60, config.rates)
    except Interrupted as stopped:
        raise SartorError(
            "the search was stopped before it found a rate", hint="the same command begins anew"
        ) from stopped
    if found is None:
        raise SartorError(
            "there is no rate to recommend", hint="raise --minutes, lower --batch-rows, or try lower --rates"
        )
    record = describe(config, found)
    out = None if config.out is None else write_report(record, Path(config.out))
    return FoundRate(
        found.learning_rate,
        found.found.plateau,
        found.expected,
        record["rates"],
        notes(record),
        record,
        out,
    )
