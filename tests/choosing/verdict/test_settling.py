"""The rule on tables: by hand, and alike for one table and many."""

import numpy as np
from numpy.typing import NDArray

from sartor.choosing.verdict.settling import NONE, settled

Bools = NDArray[np.bool_]


def table(paths: int, *pairs: tuple[int, int]) -> Bools:
    made = np.zeros((paths, paths), dtype=bool)
    for first, second in pairs:
        made[first, second] = True
    return made


def outcome(better: Bools, not_worse: Bools, *dominated: int) -> tuple[int, bool]:
    off = np.isin(np.arange(len(better)), dominated)
    choice, decided = settled(better, not_worse | better, off)
    return int(choice), bool(decided)


def test_one_path_is_decided() -> None:
    assert outcome(table(1), table(1)) == (0, True)


def test_nothing_shown_settles_nothing() -> None:
    assert outcome(table(3), table(3)) == (NONE, False)


def test_better_than_all_is_decided_and_not_worse_than_all_a_tie() -> None:
    assert outcome(table(2, (1, 0)), table(2)) == (1, True)
    assert outcome(table(2), table(2, (0, 1))) == (0, False)


def test_the_first_in_the_order_wins_among_those_not_worse() -> None:
    everyone = ~np.eye(3, dtype=bool)
    assert outcome(table(3), everyone) == (0, False)


def test_an_open_path_that_comes_first_keeps_it_open() -> None:
    not_worse = table(3, (1, 0), (1, 2))
    assert outcome(table(3), not_worse) == (NONE, False)
    assert outcome(table(3, (2, 0)), not_worse) == (1, False)
    assert outcome(table(3), not_worse, 0) == (1, False)


def test_a_dominated_path_is_never_chosen() -> None:
    everyone = ~np.eye(2, dtype=bool)
    assert outcome(table(2), everyone, 0) == (1, False)
    assert outcome(table(2), everyone, 0, 1) == (NONE, False)


def test_many_tables_at_once_are_settled_alike() -> None:
    generator = np.random.default_rng(0)
    better = generator.random((200, 4, 4)) < 0.2
    not_worse = better | (generator.random((200, 4, 4)) < 0.6)
    dominated = np.array([False, False, True, False])
    choices, decided = settled(better, not_worse, dominated)
    assert len(set(choices.tolist())) >= 3
    for each in range(200):
        alone = settled(better[each], not_worse[each], dominated)
        assert (int(alone[0]), bool(alone[1])) == (choices[each], decided[each])
