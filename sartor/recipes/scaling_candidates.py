"""What a budget buys of each size, and the loss to expect of it."""

import math
from collections.abc import Callable

from sartor.models.presets import PRESETS
from sartor.recipes.pretrain_settings import WINDOWS
from sartor.recipes.scaling_plan import Candidate, ScalingConfig
from sartor.train.horizon import USEFUL_EPOCHS
from sartor.train.scaling_law import Law

Speed = Callable[[str], float]  # preset -> tokens a second


def compare(config: ScalingConfig, speed: Speed, law: Law, data_tokens: int | None) -> tuple[Candidate, ...]:
    """Every size with what the budget buys it, at most four times the texts there are."""
    candidates = []
    for preset in PRESETS.values():
        rate = speed(preset.name)
        tokens = int(config.budget_hours * 3600 * rate)
        if data_tokens is not None:
            tokens = min(tokens, USEFUL_EPOCHS * data_tokens)
        if tokens < 1:
            continue
        expected, low, high = law.expected(preset.num_weights, tokens)
        epochs = None if data_tokens is None else tokens / data_tokens
        hours = tokens / rate / 3600
        candidates.append(Candidate(preset.name, preset.num_weights, tokens, epochs, expected, low, high, hours))
    return tuple(candidates)


def reckoned_speed(config: ScalingConfig) -> Speed:
    assert config.teraflops is not None
    per_second = config.teraflops * 1e12 * config.utilisation
    return lambda name: per_second / PRESETS[name].flops_per_token(config.vocabulary, WINDOWS[name])


def between(low: tuple[float, float], high: tuple[float, float], at: float) -> float:
    """The straight line through two points (x, y) in log x, held at its ends."""
    share = (math.log(at) - math.log(low[0])) / (math.log(high[0]) - math.log(low[0]))
    return low[1] + min(max(share, 0.0), 1.0) * (high[1] - low[1])
