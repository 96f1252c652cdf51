"""A task's scorer as a reward: what `evaluate` would give, and no judge."""

import pytest

from sartor.base.errors import UsageError
from sartor.data.records import Message, Row
from sartor.data.scorers import scorer
from sartor.evaluation.scoring import score_replies
from sartor.train.rewards.accepted import AcceptedAnswers
from sartor.train.rewards.protocol import Answered


@pytest.mark.parametrize("text", ["Paris", "<think>Rome?</think>Paris", "<think>Paris", "Rome"])
def test_the_reward_is_the_measure(text: str) -> None:
    row = Row("r", [Message(role="user", content="Where?")], ("Paris",), "g")
    (measured,) = score_replies(scorer("exact"), [row], [text], "x")
    answered = Answered(row.messages, text, row.answers, 3, True, "r")
    assert AcceptedAnswers("exact").score([answered]) == [measured.score]


def test_a_judge_is_no_reward() -> None:
    with pytest.raises(UsageError, match="needs a model that judges"):
        AcceptedAnswers("judge")
