"""Ranges of learning curves: planted curves lie in them as often as said, they never fall and never leave [0, 1]."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.evaluation.score_curves import FURTHEST, CurveRange, Forecast, Meaningless, fit_curve

SIZES = (450, 900, 1800)
RISING, FLAT, SLOW = (0.8, 0.3, 0.3), (0.5, 0.0, 0.5), (0.99, 0.7, 0.1)  # top, gap at 1,800 rows, exponent
STEEP = (0.97, 0.2, 1.0)


def planted(curve: tuple[float, float, float], rows: float) -> float:
    top, gap, exponent = curve
    return top - gap * (rows / SIZES[-1]) ** -exponent


def drawn(curve: tuple[float, float, float], scored: int, draw: np.random.Generator, spread: float) -> np.ndarray:
    """Right and wrong answers of trainings on SIZES rows; the same rows are hard for all."""
    most = min(planted(curve, SIZES[-1]), 1 - planted(curve, SIZES[-1]))
    hardness = draw.uniform(-1, 1, scored) * min(0.2, most)
    chances = [np.clip(planted(curve, rows) + draw.normal(0, spread) + hardness, 0, 1) for rows in SIZES]
    return np.array([draw.random(scored) < chance for chance in chances], dtype=float)


def fitted(*arguments: object, **named: object) -> CurveRange:
    found = fit_curve(*arguments, **named)  # type: ignore[arg-type]
    assert isinstance(found, CurveRange), found
    return found


@pytest.mark.parametrize("curve", [RISING, FLAT, SLOW, STEEP])
def test_the_truth_lies_in_the_range_as_often_as_said(curve: tuple[float, float, float]) -> None:
    draw, repetitions, held = np.random.default_rng(3), 60, {2: 0, 4: 0}
    for _ in range(repetitions):
        found = fit_curve(SIZES, drawn(curve, 150, draw, spread=0.02))
        if isinstance(found, Meaningless):  # refused is not wrong, and rare
            repetitions -= 1
            continue
        for times in held:
            told = found.forecast(times * SIZES[-1])
            held[times] += told.low - 0.005 <= planted(curve, times * SIZES[-1]) <= told.high + 0.005
    assert repetitions >= 54
    assert min(held.values()) / repetitions >= 0.95 - 2.6 * math.sqrt(0.95 * 0.05 / repetitions)


@pytest.mark.parametrize("curve", [RISING, STEEP, SLOW])
def test_a_curve_that_is_known_well_is_found_again(curve: tuple[float, float, float]) -> None:
    exact = np.array([np.arange(40_000) < 40_000 * planted(curve, rows) for rows in SIZES], dtype=float)
    found = fitted(SIZES, exact, training_spread=0.004)
    told = found.forecast(2 * SIZES[-1])
    assert told.score == pytest.approx(planted(curve, 2 * SIZES[-1]), abs=0.015)
    assert told.high - told.low < 0.09
    reached = found.reach(planted(curve, 1.6 * SIZES[-1]))
    assert reached.rows == pytest.approx(1.6 * SIZES[-1], rel=0.15)


def test_few_rows_give_a_wide_range_and_many_a_narrow_one() -> None:
    widths = []
    for scored in (40, 400, 4000):
        told = fitted(SIZES, drawn(RISING, scored, np.random.default_rng(1), 0.0), training_spread=0.005)
        widths.append(told.forecast(3600).high - told.forecast(3600).low)
    assert widths[0] > 1.3 * widths[1] > 1.3 * widths[2]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=3, max_size=3), st.integers(30, 60))
def test_ranges_never_fall_and_never_leave_0_to_1(right: list[int], scored: int) -> None:
    found = fit_curve(SIZES, np.array([np.arange(scored) < number for number in sorted(right)], dtype=float))
    if isinstance(found, Meaningless):
        return
    told = [found.forecast(rows) for rows in (450, 1800, 2000, 3600, FURTHEST * 1800)]
    for key in ("low", "score", "high"):
        line = [getattr(each, key) for each in told]
        assert line == sorted(line) and line[0] >= 0 and line[-1] <= 1
    low, middle, high = found.gain()
    assert 0 <= low <= middle <= high <= 1
    for target in (0.2, 0.6, 0.95):
        reach = found.reach(target)
        if reach.rows is not None:
            assert reach.at_least is not None and 1800 <= reach.at_least <= reach.rows <= FURTHEST * 1800


def test_what_is_reached_already_takes_no_more_rows_and_the_impossible_is_not_promised() -> None:
    found = fitted(SIZES, drawn(RISING, 2000, np.random.default_rng(0), 0.0), training_spread=0.005)
    assert found.reach(0.2).rows == found.reach(0.2).at_most == 1800
    assert found.reach(0.999).rows is None and found.reach(0.999).at_least is None
    with pytest.raises(ValueError, match="too far"):
        found.forecast(FURTHEST * 1800 + 1)


def test_points_that_are_no_such_curve_are_refused_with_the_reason() -> None:
    falling = np.array([np.arange(200) < number for number in (150, 120, 80)], dtype=float)
    for scores, why in (
        (falling, "fell"),
        (np.zeros((3, 200)), "no answer was right"),
        (np.ones((3, 10)), "20 scored rows"),
        (np.ones((2, 200)), "3 sizes"),
    ):
        found = fit_curve(SIZES[: len(scores)], scores)
        assert isinstance(found, Meaningless) and why in found.why
    bent = np.array([np.arange(4000) < number for number in (1000, 3600, 2000)], dtype=float)
    found = fit_curve(SIZES, bent, training_spread=0.01)
    assert isinstance(found, Meaningless) and "any rising curve" in found.why
    with pytest.raises(ValueError, match="which rise"):
        fit_curve((900, 450, 1800), falling)


def test_rows_of_one_group_tell_less_than_as_many_single_ones() -> None:
    scores = drawn(RISING, 200, np.random.default_rng(5), 0.0)
    alone = fitted(SIZES, scores, training_spread=0.001).forecast(3600)
    repeated = np.repeat(scores, 8, axis=1)
    together = fitted(SIZES, repeated, [row // 8 for row in range(1600)], training_spread=0.001).forecast(3600)
    assert isinstance(alone, Forecast)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.05)
    as_if_single = fitted(SIZES, repeated, training_spread=0.001).forecast(3600)
    assert as_if_single.high - as_if_single.low < 0.8 * (together.high - together.low)
