"""Parts in which another path wins: found where it is so, and not invented where it is not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor.choosing.verdict.race import Measured, Race
from sartor.choosing.verdict.rule import race_of
from sartor.choosing.verdict.slices import FEWEST_ROWS, find_slices

Scores = NDArray[np.float64]


def race_between(scores: Scores, margin: float = 0.02) -> Race:
    return race_of([Measured(f"p{i}", column, 1.0 + i, 1.0, True) for i, column in enumerate(scores.T)], None, margin)


def questions(rows: int) -> list[str]:
    return ["a short one" if row % 2 else "this is a question with more words in it" for row in range(rows)]


def claims(race: Race, groups: list[str]) -> list[str]:
    choice, _ = race.settle(race.order)
    found = find_slices(race, choice, groups, questions(len(groups)))
    return [str(part["group"]) for part in found.parts if part["choice"] != choice]


@pytest.mark.parametrize("fractional", [False, True])
def test_where_no_part_differs_a_false_claim_is_rare(fractional: bool) -> None:
    """Four groups and two lengths, three paths alike: at most 5 % of the repetitions have any claim."""
    generator = np.random.default_rng(0)
    repetitions = 40 if fractional else 200
    groups = [f"g{row % 4}" for row in range(240)]
    wrong = 0
    for _ in range(repetitions):
        chance = generator.uniform(0.2, 0.8, (240, 1)).repeat(3, 1)
        scores = generator.beta(3 * chance, 3 * (1 - chance)) if fractional else generator.random(chance.shape) < chance
        wrong += bool(claims(race_between(scores.astype(float)), groups))
    assert wrong <= 0.05 * repetitions


def test_a_path_that_is_better_everywhere_is_no_claim() -> None:
    generator = np.random.default_rng(1)
    hard = generator.random((400, 1))
    scores = (hard < np.array([0.3, 0.6])).astype(float)
    assert claims(race_between(scores), [f"g{row % 4}" for row in range(400)]) == []


def test_a_part_with_another_winner_is_found_and_told() -> None:
    groups = ["tax"] * 80 + ["rent"] * 240
    scores = np.zeros((320, 2))
    scores[:70, 0] = 1
    scores[100:300, 1] = 1
    race = race_between(scores)
    assert race.settle(race.order) == ("p1", "decided")
    found = find_slices(race, "p1", groups, questions(320))
    assert claims(race, groups) == ["tax"]
    part = next(part for part in found.parts if part["group"] == "tax")
    assert (part["choice"], part["n"], part["scores"]) == ("p0", 80, {"p0": 0.875, "p1": 0.0})
    assert part["ci"]["p0"][0] < 0.875 < part["ci"]["p0"][1]
    assert part["sentence"].startswith("Of the 80 test questions in “tax”, p0 gets more right than p1")
    assert all("sentence" not in part for part in found.parts if part["group"] != "tax")


def test_a_loss_within_the_margin_is_no_other_winner() -> None:
    """A dearer path that is a little better everywhere, in a task where the margin gave it to the cheaper one."""
    dear = np.ones(4000)
    cheap = np.ones(4000)
    cheap[::100] = 0
    race = race_between(np.stack([cheap, dear], 1))
    assert race.settle(race.order) == ("p0", "tie")
    groups = [f"g{row % 3}" for row in range(4000)]
    assert claims(race, groups) == []
    assert claims(race_between(np.stack([cheap, dear], 1), 0.0), groups) == []


def test_groups_that_are_many_and_small_are_not_cut_and_it_says_why() -> None:
    scores = (np.random.default_rng(2).random((200, 2)) < 0.5).astype(float)
    race = race_between(scores)
    small = find_slices(race, "p0", [f"g{row // 5}" for row in range(200)], questions(200))
    assert small.not_cut == (
        f"Not by group: 40 groups of 5 rows on average, and a part needs {FEWEST_ROWS} rows to show anything."
    )
    assert [part["group"] for part in small.parts] == ["questions of up to 3 words", "questions of more than 3 words"]
    alone = find_slices(race, "p0", [str(row) for row in range(200)], questions(200))
    assert alone.not_cut == "Not by group: no two rows are of one group."
    mixed = find_slices(race, "p0", ["large"] * 100 + [str(row) for row in range(100)], questions(200))
    assert [(part["group"], part["n"]) for part in mixed.parts][:2] == [("large", 100), ("all other groups", 100)]
    assert find_slices(race, None, ["a"] * 200, questions(200)).parts == []


def test_unscored_rows_are_left_out() -> None:
    scores = np.ones((120, 2))
    scores[:30, 0] = np.nan
    found = find_slices(race_between(scores), "p0", ["a"] * 60 + ["b"] * 60, questions(120))
    assert found.parts[0]["scores"] == {"p0": 1.0, "p1": 1.0} and found.parts[0]["n"] == 60
