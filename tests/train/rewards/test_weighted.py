"""The weighted sum of rewards and its parts."""

from collections.abc import Sequence

import pytest

from sartor.base.errors import DataError, SartorError, UsageError
from sartor.train.rewards.accepted import AcceptedAnswers
from sartor.train.rewards.protocol import Answered
from sartor.train.rewards.shape import Finished, WholeMatch
from sartor.train.rewards.weighted import SumOfRewards, Weighted


class Fixed:
    """Gives the numbers it was made with, as a trained model would."""

    def __init__(self, name: str, *scores: float):
        self.name = name
        self._scores = list(scores)

    def score(self, answered: Sequence[Answered]) -> list[float]:
        return self._scores


def rows(*texts: str, answers: tuple[str, ...] = ("4",)) -> list[Answered]:
    return [Answered([], text, answers, 1, True, f"rows.jsonl:{number}") for number, text in enumerate(texts, 1)]


def test_the_sum_is_weighted_and_its_parts_are_not() -> None:
    both = SumOfRewards([Weighted(Fixed("model", 2.0, -1.0), 0.5), Weighted(AcceptedAnswers("numeric"), -3.0)])
    answered = rows("it is 4", "5")
    assert both.parts(answered) == {"model": [2.0, -1.0], "numeric": [1.0, 0.0]}
    assert both.score(answered) == [0.5 * 2 - 3 * 1, 0.5 * -1]
    assert both.total(both.parts(answered)) == both.score(answered)
    assert both.weights == {"model": 0.5, "numeric": -3.0}


def test_parts_of_one_name_are_numbered() -> None:
    patterns = [Weighted(WholeMatch(pattern)) for pattern in ("a", "b", "c")]
    named = SumOfRewards([*patterns, Weighted(Fixed("regex_2", 7.0)), Weighted(Fixed("deviation", 0.0))])
    assert list(named.weights) == ["regex", "regex_2", "regex_3", "regex_2_2", "deviation_2"]
    assert named.parts(rows("b"))["regex_2"] == [1.0]


def test_a_weight_of_zero_is_only_logged() -> None:
    both = SumOfRewards([Weighted(Finished()), Weighted(AcceptedAnswers("exact"), 0.0)])
    assert both.parts(rows("4"))["exact"] == [1.0] and both.score(rows("4")) == [1.0]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_stops_and_names_part_and_row(wrong: float) -> None:
    with pytest.raises(SartorError, match="rows.jsonl:2: the reward model of an answer is (nan|inf)"):
        SumOfRewards([Weighted(Fixed("model", 0.0, wrong))]).score(rows("a", "b"))


@pytest.mark.parametrize(("answers", "message"), [
    ((), "rows.jsonl:1: the row has no answer"), (("no number",), "holds no number"),
])  # fmt: skip
def test_rows_that_a_scorer_cannot_score_are_found_before_and_while_it_scores(
    answers: tuple[str, ...], message: str
) -> None:
    both = SumOfRewards([Weighted(Finished()), Weighted(AcceptedAnswers("numeric"))])
    with pytest.raises(DataError, match=message):
        both.check(answers, "rows.jsonl:1")
    with pytest.raises(DataError, match=message):
        both.score(rows("4", answers=answers))
    both.check(("4",), "rows.jsonl:1")
    SumOfRewards([Weighted(Finished())]).check(answers, "rows.jsonl:1")


def test_no_reward_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no reward"):
        SumOfRewards([])
