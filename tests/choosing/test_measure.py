"""How many questions are timed: more where they are quick and cost nothing, each of them once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sartor.choosing import measure
from sartor.choosing.measure import LATENCY_ROWS, MOST_LATENCY_ROWS
from sartor.data.records import Conversation
from sartor.generation.protocol import Reply, Sampling


class Asked:
    """Takes a second for a question, and remembers it."""

    def __init__(self, **of_reply: Any):
        self.questions, self.reply = list[str](), replace(Reply("yes", "stop", seconds=1.0), **of_reply)

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        self.questions += [conversation[-1]["content"] for conversation in conversations]
        return [self.reply for _ in conversations]


def timed(model: Asked, num_rows: int) -> list[str]:
    """The questions that were timed: the first of all only wakes the model."""
    asked: list[Conversation] = [[{"role": "user", "content": f"q{number}"}] for number in range(num_rows)]
    seconds = measure._latencies(model, asked, Sampling(max_new_tokens=4))
    assert seconds == [1.0] * (len(model.questions) - 1)
    return model.questions[1:]


@pytest.mark.parametrize(("num_rows", "num_timed"), [(100, MOST_LATENCY_ROWS), (25, 25), (10, 10), (3, 10)])
def test_no_question_is_timed_twice_unless_there_are_few(num_rows: int, num_timed: int) -> None:
    questions = timed(Asked(), num_rows)
    assert len(questions) == num_timed and len(set(questions)) == min(num_timed, num_rows)


def test_of_a_remote_model_no_more_are_asked_than_must_be() -> None:
    assert len(timed(Asked(hosts=("api.example",)), 100)) == LATENCY_ROWS


def test_a_slow_model_is_asked_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 30))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    assert len(timed(Asked(), 100)) == LATENCY_ROWS
