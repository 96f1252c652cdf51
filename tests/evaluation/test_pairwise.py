"""Pairs judged in both orders: wins that last, verdicts that turn, a judge that favours a place."""

import random
import re

import pytest

from sartor.evaluation.judge import Judge
from sartor.evaluation.pairwise import judge_pairs, summarise
from tests.evaluation.judges import ScriptedModel


def texts_in(shown: str) -> tuple[str, str]:
    found = re.findall(r"<answer [AB] \w+>\n(.*?)\n</answer", shown, re.DOTALL)
    return found[0], found[1]


def longer(shown: str) -> str:
    """Prefers the longer answer, wherever it stands."""
    first, second = texts_in(shown)
    word = "TIE" if len(first) == len(second) else "A" if len(first) > len(second) else "B"
    return f"So.\nVERDICT: {word}"


CASES = [("q", ["a"], "long answer", "short"), ("q", ["a"], "no", "longer"), ("q", [], "same", "same")]


def test_an_answer_wins_only_in_both_orders() -> None:
    contests = judge_pairs(Judge(ScriptedModel(longer), "big"), CASES, "test")
    assert [contest.worth for contest in contests] == [1.0, 0.0, 0.5]
    assert not any(contest.turned for contest in contests)
    found = summarise(contests)
    assert (found.wins, found.losses, found.ties, found.turned, found.unscored) == (1, 1, 1, 0, 0)
    assert found.rate is not None and found.rate.mean == 0.5
    assert found.first_place == found.second_place == 2 and found.bias_p == 1


def test_both_orders_show_each_answer_once_in_each_place() -> None:
    model = ScriptedModel(longer)
    judge_pairs(Judge(model, "big"), CASES[:1], "test")
    assert [texts_in(asked[-1]["content"]) for asked in model.asked] == [
        ("long answer", "short"), ("short", "long answer")
    ]  # fmt: skip


def test_a_judge_that_always_takes_the_first_decides_nothing_and_is_told() -> None:
    first = Judge(ScriptedModel(lambda shown: "VERDICT: A"), "big")
    found = summarise(judge_pairs(first, CASES * 4, "test"))
    assert (found.wins, found.losses, found.ties, found.turned) == (0, 0, 12, 12)
    assert (found.first_place, found.second_place) == (24, 0)
    assert found.bias_p == pytest.approx(2 / 2**12)
    assert any("favours a place" in sentence for sentence in found.sentences("one", "two"))


def test_a_win_and_a_tie_are_a_tie_that_turned() -> None:
    def undecided(shown: str) -> str:
        return "VERDICT: A" if texts_in(shown)[0] == "long answer" else "VERDICT: TIE"

    (contest,) = judge_pairs(Judge(ScriptedModel(undecided), "big"), CASES[:1], "test")
    assert contest.worth == 0.5 and contest.turned


def test_a_verdict_that_cannot_be_read_makes_the_pair_unscored_never_a_tie() -> None:
    def half(shown: str) -> str:
        return longer(shown) if texts_in(shown)[0] == "long answer" else "hard to say"

    contests = judge_pairs(Judge(ScriptedModel(half), "big"), CASES[:1], "test")
    found = summarise(contests)
    assert contests[0].worth is None and found.unscored == 1 and found.rate is None
    assert any("no verdict" in sentence for sentence in found.sentences("one", "two"))


def test_the_rate_survives_a_judge_who_leans() -> None:
    """A judge that takes the first place in every fifth case still finds which model is better."""
    draw = random.Random(0)

    def leaning(shown: str) -> str:
        return "VERDICT: A" if draw.random() < 0.2 else longer(shown)

    cases = [(f"q{n}", ["a"], "long answer", "short") for n in range(200)]
    found = summarise(judge_pairs(Judge(ScriptedModel(leaning), "big"), cases, "test"), [str(n) for n in range(200)])
    assert found.losses == 0 and 30 <= found.turned <= 50 and found.first_place > found.second_place
    assert found.bias_p < 1e-6 and found.rate is not None and found.rate.low > 0.8
