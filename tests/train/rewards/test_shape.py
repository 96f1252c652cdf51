"""Length, end and pattern of an answer as rewards."""

import pytest

from sartor.base.errors import UsageError
from sartor.train.rewards.protocol import Answered
from sartor.train.rewards.shape import Finished, Length, WholeMatch


def answered(text: str = "", num_tokens: int = 1, finished: bool = True) -> Answered:
    return Answered([{"role": "user", "content": "?"}], text, (), num_tokens, finished, "rows.jsonl:1")


def test_length_falls_linearly_on_both_sides_and_is_never_below_zero() -> None:
    lengths = [0, 1, 5, 10, 15, 19, 20, 100]
    scores = Length("10").score([answered(num_tokens=length) for length in lengths])
    assert scores == pytest.approx([0, 0.1, 0.5, 1, 0.5, 0.1, 0, 0])


@pytest.mark.parametrize("target", ["", "0", "-3", "1.5", "²", "many", "1e3"])
def test_length_wants_a_whole_number(target: str) -> None:
    with pytest.raises(UsageError, match="not a number of tokens"):
        Length(target)


def test_finished_is_one_when_the_answer_ended_by_itself() -> None:
    assert Finished().score([answered(finished=True), answered(finished=False)]) == [1.0, 0.0]


def test_the_whole_stripped_answer_must_match() -> None:
    texts = [" B\n", "BB", "the B", "", "E"]
    assert WholeMatch("[A-D]").score([answered(text) for text in texts]) == [1, 0, 0, 0, 0]


def test_a_very_long_answer_never_matches() -> None:
    assert WholeMatch("a*").score([answered("a" * 4_000), answered("a" * 4_001)]) == [1, 0]


@pytest.mark.parametrize(("pattern", "message"), [("(", "not a regular expression"), ("(a+)+b", "for ever")])
def test_wrong_and_dangerous_patterns_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        WholeMatch(pattern)
