"""The search for a learning rate on losses that are known: what it finds, what it drops, what it costs."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.train.learning_rate import (
    EXTENSIONS,
    LEAST_STEPS,
    RateFound,
    SearchPlan,
    for_longer_run,
    plan_search,
    search,
    trunk_steps,
)
from sartor.train.likelihood import Floats

SIZES = np.array([4.0, 9.0, 2.0, 7.0, 5.0, 3.0, 8.0, 6.0] * 4)
START = 30.0 * SIZES
GRID = (1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3, 3.2e-3)
PLAN = SearchPlan(GRID, (8, 16, 32))


class Bowl:
    """Losses with their minimum at `best`, lower for longer runs; `noise` differs by row and seed."""

    def __init__(
        self, best: float, depth: float = 0.2, noise: float = 0.0, diverges: Callable[[float], bool] | None = None
    ):
        self.best, self.depth, self.noise = best, depth, noise
        self.diverges = diverges or (lambda rate: False)
        self.asked: list[tuple[float, int, int]] = []

    def __call__(self, rate: float, steps: int, repeat: int) -> Floats | None:
        self.asked.append((rate, steps, repeat))
        if self.diverges(rate):
            return None
        mean = 2.0 - 0.1 * math.log(steps) + self.depth * math.log2(rate / self.best) ** 2
        chance = np.random.default_rng([repeat, steps])
        return (mean + self.noise * chance.standard_normal()) * SIZES + 0.1 * chance.standard_normal(len(SIZES))


def found(trial: Bowl, plan: SearchPlan = PLAN) -> RateFound:
    result = search(trial, plan, SIZES, START)
    assert result is not None
    return result


@pytest.mark.parametrize("best", GRID[1:-1])
def test_the_best_rate_of_a_clear_bowl_is_found_alone(best: float) -> None:
    result = found(Bowl(best))
    assert result.best == best and result.plateau == (best, best) and not result.at_edge
    assert {each.rate: each.state for each in result.tried}[best] == "best"
    assert all(each.state == "worse" for each in result.tried if each.rate != best)


def test_each_rung_keeps_the_better_half_and_trains_it_on() -> None:
    trial = Bowl(4e-4)
    result = found(trial)
    first = [(rate, steps) for rate, steps, repeat in trial.asked if not repeat]
    assert first[:6] == [(rate, 8) for rate in GRID]
    assert [(each[1]) for each in first[6:]] == [16, 16, 16, 32, 32]
    assert {rate for rate, steps in first if steps == 16} == {2e-4, 4e-4, 8e-4}
    assert [each for each in trial.asked if each[2]] == [(4e-4, steps, 1) for steps in (8, 16, 32)]
    assert result.steps == 32 and {each.rate: each.steps for each in result.tried}[1e-4] == 8


def test_noise_makes_a_plateau_and_the_usual_rate_in_it_is_taken() -> None:
    result = found(Bowl(4e-4, depth=0.001, noise=0.05))
    low, high = result.plateau
    assert low < result.best < high or low < high
    assert result.seed_noise is not None and 0 < result.seed_noise < 0.2
    assert result.recommended(5e-4, planned_steps=32) == 5e-4
    assert result.recommended(1e-9, planned_steps=32) == pytest.approx(low, rel=0.05)
    assert result.recommended(1.0, planned_steps=32) == pytest.approx(high, rel=0.05)


def test_a_rate_that_was_worse_ends_the_plateau() -> None:
    class Ridge(Bowl):
        def __call__(self, rate: float, steps: int, repeat: int) -> Floats | None:
            losses = super().__call__(rate, steps, repeat)
            return losses + 50 * SIZES * (rate == 8e-4) if losses is not None else None

    result = found(Ridge(4e-4, depth=0.0001, noise=0.1))
    states = {each.rate: each.state for each in result.tried}
    assert states[8e-4] == "diverged"  # held-out rows are far worse than before training
    assert result.plateau[0] < 8e-4 < 1.6e-3 and (result.plateau[1] < 8e-4) == (result.best < 8e-4)


def test_what_diverges_is_dropped_for_good_and_told() -> None:
    told: list[tuple[float, float | None]] = []
    trial = Bowl(8e-4, diverges=lambda rate: rate > 1e-3)
    result = search(trial, PLAN, SIZES, START, on_measured=lambda rate, steps, loss, share: told.append((rate, loss)))
    assert result is not None and result.best == 8e-4
    assert [each.rate for each in result.tried if each.state == "diverged"] == [1.6e-3, 3.2e-3]
    assert [rate for rate, loss in told if loss is None] == [1.6e-3, 3.2e-3]
    assert sum(rate > 1e-3 for rate, _, _ in trial.asked) == 2


def test_there_is_no_answer_where_no_rate_helps() -> None:
    assert search(Bowl(4e-4, diverges=lambda rate: True), PLAN, SIZES, START) is None
    assert search(Bowl(4e-4), PLAN, SIZES, 1.0 * SIZES) is None  # all end above where they began


@pytest.mark.parametrize(("best", "beyond"), [(2e-2, 1.28e-2), (1e-5, 2.5e-5)])
def test_the_grid_is_extended_where_the_best_is_at_its_end(best: float, beyond: float) -> None:
    result = found(Bowl(best))
    assert len(result.tried) == len(GRID) + EXTENSIONS
    assert result.best == pytest.approx(beyond) and result.at_edge
    kept = found(Bowl(best), SearchPlan(GRID, (8, 16, 32), extends=False))
    assert len(kept.tried) == len(GRID) and kept.at_edge


def test_late_searches_stop_at_a_rung_and_say_what_they_know() -> None:
    trial = Bowl(4e-4)
    result = search(trial, PLAN, SIZES, START, is_late=lambda: True)
    assert result is not None and result.best == 4e-4 and result.steps == 8 and result.seed_noise is None
    assert {steps for _, steps, _ in trial.asked} == {8}


@given(
    st.floats(10, 3000), st.floats(0.01, 3), st.floats(0.001, 5), st.integers(1, 2000), st.sampled_from([0, 3, 5, 6])
)
def test_a_plan_keeps_to_time_and_length(
    seconds: float, step_seconds: float, measure_seconds: float, planned: int, most_rates: int
) -> None:
    plan = plan_search(1e-3, seconds, step_seconds, measure_seconds, planned, most_rates=most_rates)
    if plan is None:
        return
    steps, measurements = plan.work
    assert steps * step_seconds + measurements * measure_seconds <= seconds
    assert len(plan.rates) <= most_rates and 1e-3 in plan.rates
    assert plan.horizons[-1] <= max(planned, 2 ** (len(plan.horizons) - 1))
    assert plan.horizons[0] >= min(LEAST_STEPS, max(planned // 2 ** (len(plan.horizons) - 1), 1))


def test_more_time_gives_more_rates_and_then_longer_rungs() -> None:
    plans = [plan_search(1e-3, seconds, 1.0, 1.0, 10_000) for seconds in (10, 150, 400, 4000)]
    assert plans[0] is None
    sizes = [(len(plan.rates), plan.horizons[0]) for plan in plans if plan is not None]
    assert sizes == sorted(sizes) and sizes[-1][0] == 6 and sizes[-1][1] > 8 and sizes[0][0] < 6
    own = plan_search(1e-3, 4000, 1.0, 1.0, 10_000, rates=[3e-3, 1e-3])
    assert own is not None and own.rates == (1e-3, 3e-3) and not own.extends and len(own.horizons) == 1


@pytest.mark.parametrize("best", [4e-4, 2e-2])
def test_the_work_is_never_more_than_planned(best: float) -> None:
    trial = Bowl(best)
    shares: list[float] = []
    search(trial, PLAN, SIZES, START, on_measured=lambda rate, steps, loss, share: shares.append(share))
    steps = 0
    for rate, horizon, repeat in trial.asked:
        done = [h for r, h, again in trial.asked if (r, again) == (rate, repeat) and h < horizon]
        steps += horizon - (trunk_steps(max(done)) if done else 0)
    planned_steps, planned_measurements = PLAN.work
    assert steps <= planned_steps + 32 and len(trial.asked) <= planned_measurements + 2
    assert shares == sorted(shares) and shares[-1] <= 1


def test_the_trunk_grows_with_every_rung_and_leaves_a_cool_down() -> None:
    for first in range(1, 40):
        trunks = [trunk_steps(first * 2**rung) for rung in range(4)]
        assert trunks == sorted(set(trunks)) and all(t < first * 2**rung for rung, t in enumerate(trunks))


def test_longer_runs_take_lower_rates() -> None:
    assert for_longer_run(1e-3, 100, 100) == for_longer_run(1e-3, 100, 10) == 1e-3
    assert for_longer_run(1e-3, 100, 200) == pytest.approx(1e-3 / 2**0.32)
    assert for_longer_run(1e-3, 10, 10**6) == 5e-4  # no further than one step of the grid
