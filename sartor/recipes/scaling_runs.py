"""What a scaling plan measures: how quickly this machine trains, and what small runs on the texts come to."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sartor.base.console import format_seconds, say
from sartor.base.durable import replace_json
from sartor.base.errors import UsageError
from sartor.models.presets import PRESETS
from sartor.recipes.pretrain import PretrainConfig
from sartor.recipes.pretrain import run as pretrain
from sartor.recipes.pretrain_settings import WINDOWS, PretrainSettings
from sartor.recipes.pretrain_text import num_bytes
from sartor.recipes.pretrain_trial import BYTES_PER_TOKEN, trial_speed
from sartor.recipes.scaling_candidates import Speed, between
from sartor.recipes.scaling_plan import ScalingConfig
from sartor.train.scaling_law import Observed

FIT_PRESETS = ("1m", "3m")
FIT_HORIZONS = (1, 3, 9)  # tokens of the small runs of a size, as multiples of the shortest
SPEED_PRESETS = ("1m", "10m")  # measured; what lies between and beyond is taken from these
FEWEST_FIT_TOKENS = 50_000  # of the shortest small run: below it nothing but noise is measured
SIZES_FILE = "sizes.json"  # the small runs' tokens, decided once


@dataclass(frozen=True)
class SmallRun:
    preset: str
    tokens: int
    bits_per_byte: float
    folder: Path

    @property
    def observed(self) -> Observed:
        return Observed(PRESETS[self.preset].num_weights, self.tokens, self.bits_per_byte)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"folder": str(self.folder)}


def data_tokens(data: Sequence[str]) -> int:
    """About how many tokens the texts are."""
    return round(num_bytes(data) / BYTES_PER_TOKEN)


def measured_speed(vocabulary: int) -> Speed:
    """Tokens a second of every size: two are tried, and the others compute at a speed that lies between."""
    reached = []
    for name in SPEED_PRESETS:
        flops = PRESETS[name].flops_per_token(vocabulary, WINDOWS[name])
        rate = trial_speed(PretrainSettings(data=["-"], preset=name, vocabulary=vocabulary))
        say(f"{name}: {rate:,.0f} tokens a second")
        reached.append((flops, rate * flops))

    def speed(name: str) -> float:
        flops = PRESETS[name].flops_per_token(vocabulary, WINDOWS[name])
        return between(reached[0], reached[1], flops) / flops

    return speed


def small_runs(config: ScalingConfig) -> tuple[SmallRun, ...]:
    """Runs of two sizes on three horizons each, with one tokenizer and the same held-out text; those that are done are
    read."""
    assert config.out is not None, "checked with the settings"
    folder = Path(config.out)
    shortest = _shortest(config, folder)
    runs: list[SmallRun] = []
    tokenizer: Path | None = None
    for preset in FIT_PRESETS:
        for horizon in FIT_HORIZONS:
            out = folder / f"{preset}-{horizon}"
            settings = PretrainConfig(
                data=config.data,
                preset=preset,  # type: ignore[arg-type]
                tokenizer=None if tokenizer is None else str(tokenizer),
                vocabulary=config.vocabulary if tokenizer is None else None,
                window_tokens=WINDOWS[FIT_PRESETS[0]],
                tokens=str(shortest * horizon),
                evaluations=1,
                sample_prompts=[],
                seed=config.seed,
                out=str(out),
            )
            result = pretrain(settings)
            tokenizer = tokenizer or out / "tokenizer"
            runs.append(SmallRun(preset, result.tokens, result.bits_per_byte, out))
    return tuple(runs)


def _shortest(config: ScalingConfig, folder: Path) -> int:
    known = folder / SIZES_FILE
    if known.is_file():
        return int(json.loads(known.read_text())["shortest_tokens"])
    assert config.fit_minutes is not None, "checked with the settings"
    speeds = [
        trial_speed(PretrainSettings(data=["-"], preset=name, vocabulary=config.vocabulary)) for name in FIT_PRESETS
    ]
    found = shortest_tokens(config.fit_minutes * 60, speeds)
    if found < FEWEST_FIT_TOKENS:
        needed = FEWEST_FIT_TOKENS / found * config.fit_minutes
        raise UsageError(
            f"{config.fit_minutes:g} minutes are too short for small runs that say anything",
            where="--fit-minutes",
            hint=f"give {format_seconds(60 * needed)}, about",
        )
    folder.mkdir(parents=True, exist_ok=True)
    replace_json(known, {"shortest_tokens": found})
    return found


def shortest_tokens(seconds: float, speeds: Sequence[float]) -> int:
    """Tokens of the shortest small run, so that all of them together take `seconds`."""
    return int(seconds / (sum(FIT_HORIZONS) * sum(1 / speed for speed in speeds)))
