"""The best of many settings: what survives, what it costs, and what time allows."""

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sartor.choosing.fitting.budget import Share
from sartor.choosing.fitting.halving import FIRST_ROWS, Trials, best_on_common_rows, halve
from sartor.choosing.fitting.tries import Tries

LONG = 1000.0


def planted(quality: dict[str, float], num_rows: int, asked: list[tuple[str, int, int]] | None = None) -> Trials[str]:
    """Each candidate is right on the same share of any 10 rows: the first `quality` x 10 of them."""

    def score(name: str, first: int, last: int) -> list[float]:
        if asked is not None:
            asked.append((name, first, last))
        return [float(row * 7 % 10 < 10 * quality[name]) for row in range(first, last)]

    return Trials(score, num_rows)


@given(st.permutations([n / 10 for n in range(10)]), st.integers(1, 200))
def test_the_best_planted_candidate_survives(qualities: list[float], num_rows: int) -> None:
    quality = {f"c{n}": each for n, each in enumerate(qualities)}
    trials = planted(quality, num_rows)
    chosen = halve(list(quality), trials, Share(LONG))
    known = min(len(scores) for scores in trials.scores.values())
    assert trials.mean(chosen, known) == max(trials.mean(each, known) for each in quality)
    if num_rows >= 160:
        assert quality[chosen] == 0.9


@given(st.integers(2, 40), st.integers(1, 300))
def test_no_row_is_asked_twice_and_a_round_costs_about_what_the_first_did(candidates: int, num_rows: int) -> None:
    asked: list[tuple[str, int, int]] = []
    quality = {f"c{n}": n / candidates for n in range(candidates)}
    fractions = Trials(
        lambda name, first, last: asked.append((name, first, last)) or [quality[name]] * (last - first), num_rows
    )
    assert halve(list(quality), fractions, Share(LONG)) == f"c{candidates - 1}"
    rows = [(name, row) for name, first, last in asked for row in range(first, last)]
    assert len(rows) == len(set(rows))
    assert len(rows) <= candidates * FIRST_ROWS * 8  # a full search of 300 rows: candidates x 300
    by_end = {last: sum(end == last for _, _, end in asked) for _, _, last in asked}
    assert list(by_end.values()) == sorted(by_end.values(), reverse=True)


def test_of_equally_good_ones_the_first_wins_and_useless_ones_go() -> None:
    asked: list[tuple[str, int, int]] = []
    trials = planted({"short": 0.0, "long": 0.0, "longer": 0.0, "longest": 0.0}, 64, asked)
    assert halve(["short", "long", "longer", "longest"], trials, Share(LONG)) == "short"
    assert sum(last - first for _, first, last in asked) == 4 * 16 + 2 * 16


def test_what_ties_with_the_better_half_stays_and_wins_later() -> None:
    late = {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.5}

    def score(name: str, first: int, last: int) -> list[float]:
        return [1.0 if name == "d" and row >= 16 else late[name] for row in range(first, last)]

    assert halve(list(late), Trials(score, 32), Share(LONG)) == "d"


def test_scores_that_are_known_are_used_again() -> None:
    asked: list[tuple[str, int, int]] = []
    trials = planted({"a": 0.2, "b": 0.6, "c": 0.9}, 40, asked)
    assert halve(["a", "b"], trials, Share(LONG)) == "b"
    asked.clear()
    assert halve(["b", "c"], trials, Share(LONG)) == "c"
    assert [name for name, *_ in asked] == ["c"]


def test_two_are_compared_on_the_rows_that_both_know() -> None:
    scores = {"old": [0.0] * 16 + [1.0] * 48, "new": [1.0] * 16 + [0.0] * 16}
    trials: Trials[str] = Trials(lambda name, first, last: scores[name][first:last], 64)
    trials.ask("old", 64)
    trials.ask("new", 32)
    assert best_on_common_rows(["old", "new"], trials) == "old"  # 16 of 32 both: the first
    assert best_on_common_rows(["new", "old"], trials) == "new"
    scores["third"] = [1.0] * 17 + [0.0] * 15
    trials.ask("third", 32)
    assert best_on_common_rows(["old", "third"], trials) == "third"


def test_time_that_is_spent_ends_the_search_with_something_asked() -> None:
    asked: list[tuple[str, int, int]] = []
    trials = planted({"a": 0.1, "b": 0.9}, 40, asked)
    spent = Share(1.0, before=2.0)
    assert halve(["a", "b"], trials, spent) == "a"
    assert asked == [("a", 0, 16)]
    assert halve(["a", "b"], trials, spent) == "a"
    assert asked == [("a", 0, 16)]


def test_a_round_asks_the_best_first_and_compares_what_it_reached_when_time_is_up() -> None:
    quality = {"cheap": 0.4, "better": 0.6, "best": 0.8, "bad": 0.0, "worse": 0.0}
    share, order = Share(1000.0), list[str]()

    def score(name: str, first: int, last: int) -> list[float]:
        if first:
            order.append(name)
            share.seconds = share.spent + (1000 if len(order) < 2 else 0)  # time is up after the second
        time.sleep(0.0001 * (last - first))
        return [quality[name] + 0.3 * (name == "better" and first > 0)] * (last - first)

    assert halve(list(quality), Trials(score, 32), share) == "best"
    assert order == ["best", "better"]
    quality["better"] = 0.7  # now .85 over both rounds, where "best" stays at .8
    share.seconds = 1000.0
    order.clear()
    assert halve(list(quality), Trials(score, 32), share) == "better"


def test_a_round_in_which_time_reaches_one_keeps_the_best_so_far() -> None:
    def score(name: str, first: int, last: int) -> list[float]:
        time.sleep(0.01 * (last - first) if first else 0.0005)
        return [{"a": 0.7, "b": 0.6, "c": 0.1, "d": 0.1}[name] - (name == "a" and first > 0)] * (last - first)

    trials = Trials(score, 64)
    share = Share(0.05)
    assert halve(["a", "b", "c", "d"], trials, share) == "a"  # best of the first round, though it was getting worse
    assert len(trials.scores["b"]) == 16


def test_how_long_the_next_rows_take_is_told_from_those_before() -> None:
    trials = Trials(lambda name, first, last: time.sleep(0.002 * (last - first)) or [0.0] * (last - first), 50)
    assert trials.seconds_to("a", 10) == 0
    trials.ask("a", 10)
    assert trials.seconds_to("a", 10) == 0
    assert 0.015 < trials.seconds_to("a", 20) < 0.2
    assert 0.03 < trials.seconds_to("b", 20) < 0.4


def test_what_a_service_did_not_answer_counts_as_wrong_and_is_asked_again_by_a_run_that_goes_on(tmp_path: Path) -> None:
    answers: list[list[float | None]] = [[1.0, None, 1.0], [1.0, 1.0, 1.0]]

    def asked() -> list[float]:
        trials = Trials(lambda name, first, last: answers.pop(0), 3, Tries(tmp_path / "tries.jsonl"))
        trials.ask("a", 3)
        return trials.scores["a"]

    assert asked() == [1.0, 0.0, 1.0]
    assert asked() == [1.0, 1.0, 1.0] and answers == []
    assert asked() == [1.0, 1.0, 1.0]
