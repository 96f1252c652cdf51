"""From a budget to a model's size and its tokens, with the loss to expect and how sure that is."""

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field, model_validator

from sartor.base.configuration import Config


class ScalingConfig(Config):
    """Settings of `sartor plan pretrain`."""

    data: list[str] = Field(
        [], description="texts that would be read: they bound how much may be read, and --fit reads them"
    )
    hours: float | None = Field(None, gt=0, description="time there is")
    money: float | None = Field(None, gt=0, description="money there is, instead of time")
    price_per_hour: float | None = Field(None, gt=0, description="price of an hour of the machine")
    teraflops: float | None = Field(
        None, gt=0, description="peak of another machine, all of its GPUs together (default: this one is measured)"
    )
    utilisation: float = Field(0.4, gt=0, le=1, description="share of that peak that training reaches; assumed")
    vocabulary: int = Field(16_384, ge=512, description="tokens of the vocabulary")
    fit_minutes: float | None = Field(None, gt=0, description="fit the law to small runs on the texts, for so long")
    out: str | None = Field(None, description="folder for the small runs; the same command again goes on with them")
    seed: int = Field(0, ge=0, description="of the small runs")

    @model_validator(mode="after")
    def _is_one_budget(self) -> "ScalingConfig":
        if (self.hours is None) == (self.money is None):
            raise ValueError("give --hours, or --money with --price-per-hour")
        if self.money is not None and self.price_per_hour is None:
            raise ValueError("--money needs --price-per-hour")
        if self.fit_minutes is not None and (self.out is None or not self.data):
            raise ValueError("--fit-minutes needs texts to read and --out")
        if self.out is not None and self.fit_minutes is None:
            raise ValueError("--out has no effect without --fit-minutes")
        return self

    @property
    def budget_hours(self) -> float:
        if self.hours is not None:
            return self.hours
        assert self.money is not None and self.price_per_hour is not None
        return self.money / self.price_per_hour


@dataclass(frozen=True)
class Candidate:
    """A size with the tokens that the budget buys it. `loss` is expected, between `low` and `high` where that is known;
    `epochs` is how often the texts would be read, None where none were given."""

    preset: str
    weights: int
    tokens: int
    epochs: float | None
    loss: float
    low: float | None
    high: float | None
    hours: float


@dataclass(frozen=True)
class ScalingPlan:
    """`best` is the candidate with the lowest expected loss; `ties` are those whose interval holds its loss. `unit` is
    what losses are measured in, `law` where it comes from, `speed` where the tokens a second come from."""

    best: str
    ties: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    unit: str
    law: str
    speed: str
    runs: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def run(config: ScalingConfig) -> ScalingPlan:
    """Measure or take the speed, fit or take the law, and compare the sizes."""
    from sartor.recipes.scaling_candidates import compare, reckoned_speed
    from sartor.recipes.scaling_runs import data_tokens, measured_speed, small_runs
    from sartor.train.scaling_law import PUBLISHED, Law, fit_law

    speed, speed_source = (
        (reckoned_speed(config), f"{config.utilisation:.0%} of {config.teraflops:g} teraflop/s")
        if config.teraflops is not None
        else (measured_speed(config.vocabulary), "measured on this machine")
    )
    runs = () if config.fit_minutes is None else small_runs(config)
    if runs:
        law: Law = fit_law([each.observed for each in runs])
        unit, source = "bits a byte of held-out text", f"fitted to {len(runs)} small runs on these texts"
    else:
        law, unit, source = PUBLISHED, "nats a token of the paper's web text", "published: 2404.10102, table 1"
    candidates = compare(config, speed, law, data_tokens(config.data) if config.data else None)
    best = min(candidates, key=lambda each: each.loss)
    ties = tuple(
        each.preset for each in candidates if each is not best and each.low is not None and each.low <= best.loss
    )
    told = tuple(each.as_dict() for each in runs)
    return ScalingPlan(best.preset, ties, candidates, unit, source, speed_source, told)
