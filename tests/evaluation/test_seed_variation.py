"""Intervals over rows and trainings hold the truth, also when trainings differ; with one training nothing changes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.evaluation.seed_variation import (
    seeded_difference,
    seeded_difference_interval,
    seeded_mean_interval,
    seeds_half_width,
)
from sartor.evaluation.statistics import difference_interval, mean_interval, paired_difference

REPETITIONS = 400
LEAST = 0.95 - 3 * math.sqrt(0.95 * 0.05 / REPETITIONS)  # what chance leaves of 95 %


def drawn(draw: np.random.Generator, seeds: int, rows: int, between: float) -> tuple[np.ndarray, np.ndarray]:
    """Answers of a path of true score 0.6, trained `seeds` times, whose trainings differ by `between` (standard
    deviation), and of an untrained path of the same score; both find the same rows hard."""
    hardness = np.clip(0.15 * draw.normal(size=rows), -0.3, 0.3)
    effects = draw.normal(0, between, seeds)
    trained = draw.random((seeds, rows)) < np.clip(0.6 + effects[:, None] + hardness, 0, 1)
    return trained.astype(float), (draw.random((1, rows)) < 0.6 + hardness).astype(float)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("rows", "between"), [(30, 0.0), (100, 0.05), (400, 0.1)])
def test_the_truth_is_held_whether_trainings_differ_or_not(seeds: int, rows: int, between: float) -> None:
    draw = np.random.default_rng(seeds * rows)
    held, held_difference, over_rows_alone = 0, 0, 0
    for _ in range(REPETITIONS):
        trained, untrained = drawn(draw, seeds, rows, between)
        interval = seeded_mean_interval(trained)
        held += interval.low <= 0.6 <= interval.high
        low, high = seeded_difference_interval(trained, untrained)
        held_difference += low <= 0 <= high
        low, high = difference_interval(trained.mean(0), untrained[0])
        over_rows_alone += low <= 0 <= high
    assert min(held, held_difference) / REPETITIONS >= LEAST
    if between == 0.1:
        assert over_rows_alone / REPETITIONS < 0.8, "rows alone would have done, so this test shows nothing"


def test_a_path_that_only_one_training_made_better_is_not_called_better() -> None:
    """Trainings of the same recipe, compared as two paths: at most 5 % significant."""
    draw, significant = np.random.default_rng(0), 0
    for _ in range(200):
        one, _ = drawn(draw, 3, 200, 0.08)
        other, _ = drawn(draw, 3, 200, 0.08)
        significant += seeded_difference(one, other).p < 0.05
    assert significant / 200 <= 0.05


def test_a_large_difference_is_still_found() -> None:
    draw, found = np.random.default_rng(0), 0
    for _ in range(50):
        trained, untrained = drawn(draw, 3, 200, 0.02)
        found += seeded_difference(trained, untrained * (draw.random(200) < 0.5)).p < 0.05
    assert found >= 48


def test_one_training_is_compared_as_before() -> None:
    draw = np.random.default_rng(0)
    trained, untrained = drawn(draw, 1, 50, 0.0)
    groups = [row // 2 for row in range(50)]
    assert seeded_difference(trained, untrained, groups) == paired_difference(trained[0], untrained[0], groups)
    assert seeded_mean_interval(trained, groups) == mean_interval(trained[0], groups)
    assert seeds_half_width(trained) == 0


@given(st.integers(2, 5), st.integers(2, 30), st.integers(0, 999))
def test_the_p_value_and_the_interval_agree(seeds: int, rows: int, seed: int) -> None:
    trained, untrained = drawn(np.random.default_rng(seed), seeds, rows, 0.1)
    compared = seeded_difference(trained, untrained)
    assert 0 <= compared.p <= 1 and compared.low <= compared.difference <= compared.high
    if compared.p < 0.05:
        assert compared.low > 0 or compared.high < 0
    mirrored = seeded_difference(untrained, trained)
    assert mirrored.p == pytest.approx(compared.p) and mirrored.low == pytest.approx(-compared.high)
    over_rows = difference_interval(trained.mean(0), untrained[0])
    assert compared.low <= over_rows[0] and compared.high >= over_rows[1]


def test_the_part_of_the_trainings_by_hand() -> None:
    by_seed = [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]  # means 1, 1/2, 0: standard deviation 1/2; t of 2 degrees: 4.3027
    assert seeds_half_width(by_seed) == pytest.approx(4.302653 * 0.5 / math.sqrt(3), abs=1e-4)
    over_rows = mean_interval([2 / 3, 1 / 3])
    wide = seeded_mean_interval(by_seed)
    assert (wide.mean, wide.n) == (0.5, 2) and (wide.low, wide.high) == (0.0, 1.0)
    assert wide.low <= over_rows.low and wide.high >= over_rows.high
    assert seeds_half_width([[1.0, 0.0], [0.0, 1.0]]) == 0  # trainings of equal scores


def test_scores_without_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="seeds, rows"):
        seeded_mean_interval([[]])
