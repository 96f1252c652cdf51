"""Planned rows give the power that is named, with the tests themselves."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor.choosing.verdict.race import Measured, Race
from sartor.choosing.verdict.row_planning import _holm, rows_that_settle
from sartor.choosing.verdict.rule import race_of
from sartor.evaluation.statistics import holm

Scores = NDArray[np.float64]


def race_between(scores: Scores, groups: list[int] | None = None) -> Race:
    return race_of([Measured(f"p{i}", column, 1.0 + i, 1.0, True) for i, column in enumerate(scores.T)], groups)


def pair(won: int, lost: int, alike: int) -> Scores:
    """0/1 scores [rows, 2]: rows that only the second got right, only the first, both."""
    return np.repeat([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [won, lost, alike], axis=0)


def settled_share(population: Scores, rows: int, choice: str, repetitions: int) -> float:
    generator, found = np.random.default_rng(5), 0
    for _ in range(repetitions):
        race = race_between(population[generator.integers(0, len(population), rows)])
        found += race.settle(race.order)[0] == choice and race.settle(race.order)[1] != "undecided"
    return found / repetitions


@pytest.mark.parametrize(("won", "lost"), [(225, 75), (150, 50), (300, 150)])
def test_planned_rows_give_eighty_of_a_hundred(won: int, lost: int) -> None:
    population = pair(won, lost, 1000 - won - lost)
    rows = rows_that_settle(race_between(population), "p1", ["p0", "p1"], 20)
    assert rows is not None
    assert settled_share(population, rows, "p1", 600) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(("difference", "discordance", "published"), [
    (0.05, 0.2, 626), (0.05, 0.3, 940), (0.10, 0.2, 155), (0.10, 0.3, 233), (0.15, 0.2, 67), (0.15, 0.3, 102),
])  # fmt: skip
def test_two_paths_need_about_the_published_rows(difference: float, discordance: float, published: int) -> None:
    """Connor (1987), without a correction for the exact test, which takes up to a tenth more."""
    won, lost = (round(1000 * (discordance + sign * difference) / 2) for sign in (1, -1))
    rows = rows_that_settle(race_between(pair(won, lost, 1000 - won - lost)), "p1", ["p0", "p1"], 20)
    assert rows is not None and 0.95 * published <= rows <= 1.2 * published


def test_several_rivals_and_fractions_keep_the_power() -> None:
    generator = np.random.default_rng(6)
    chance = generator.uniform(0.2, 0.8, (300, 1)) + np.array([0.0, 0.0, 0.12])
    population = generator.beta(4 * chance, 4 * (1 - chance) + 0.5)
    race = race_between(population)
    rows = rows_that_settle(race, "p2", race.order, 20)
    assert rows is not None
    assert settled_share(population, rows, "p2", 150) == pytest.approx(0.8, abs=0.09)


def test_what_the_scores_do_not_say_no_rows_will() -> None:
    race = race_between(pair(50, 50, 100))
    assert rows_that_settle(race, "p1", race.order, 20) is None
    assert rows_that_settle(race, "p0", race.order, 20) is not None


def test_fewest_is_a_floor() -> None:
    race = race_between(pair(500, 0, 100))
    assert rows_that_settle(race, "p1", race.order, 60) == 60


def test_rows_of_a_group_count_less() -> None:
    scores = pair(15, 5, 30)
    alone = rows_that_settle(race_between(scores), "p1", ["p0", "p1"], 20)
    grouped = race_between(scores.repeat(4, 0), [row // 4 for row in range(200)])
    together = rows_that_settle(grouped, "p1", ["p0", "p1"], 20)
    assert alone is not None and together is not None
    assert together == pytest.approx(4 * alone, rel=0.2)


def test_what_trainings_differ_by_is_not_narrowed_by_rows() -> None:
    scores = pair(150, 50, 200)
    apart = np.stack([scores[:, 1] * keep for keep in (np.arange(400) % 10 > 3, np.ones(400), np.ones(400))])
    paths = [Measured("p0", scores[:, 0], 1.0, 1.0, True), Measured("p1", apart.mean(0), 2.0, 1.0, True)]
    once = race_of(paths)
    several = race_of([paths[0], Measured("p1", apart.mean(0), 2.0, 1.0, True, by_seed=apart)])
    assert rows_that_settle(once, "p1", once.order, 20) is not None
    assert rows_that_settle(several, "p1", several.order, 20) is None


def test_holm_of_many_draws_is_holm_of_each() -> None:
    drawn = np.random.default_rng(7).random((20, 6)) ** 3
    assert np.allclose(_holm(drawn), [holm(list(row)) for row in drawn])
