"""What stands in front of a question, and that finding it is part of the time an answer takes."""

import time
from typing import Any

import pytest

from sartor.generation.prompted import Front, Prompted, prompted
from sartor.generation.protocol import Reply, Sampling


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


class Echo:
    """Keeps what it was sent; every reply took one second."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def generate(self, conversations: Any, sampling: Sampling, on_reply: Any = None) -> list[Reply]:
        self.sent = list(conversations)
        replies = [Reply("", "stop", seconds=1.0, messages=each) for each in conversations]
        for index, reply in enumerate(replies):
            if on_reply:
                on_reply(index, reply)
        return replies


class Slow:
    """Finds the last message as its own example, in a hundredth of a second."""

    def examples_for(self, conversation: Any) -> tuple[tuple[str, str], ...]:
        time.sleep(0.01)
        return ((conversation[-1]["content"], "found"),)


def test_instruction_fixed_examples_found_ones_question() -> None:
    front = Front("Be brief.", (("q", "a"),), Slow())
    sent = front.before([{"role": "system", "content": "Own."}, *user("hello")])
    assert [(each["role"], each["content"]) for each in sent] == [
        ("system", "Own.\n\nBe brief."), ("user", "q"), ("assistant", "a"),
        ("user", "hello"), ("assistant", "found"), ("user", "hello"),
    ]  # fmt: skip
    assert Front("Be brief.", (("q", "a"),)).before(user("x")) == prompted(user("x"), "Be brief.", [("q", "a")])


def test_examples_are_found_for_what_was_asked_not_for_what_was_put_before_it() -> None:
    echo = Echo()
    Prompted(echo, None, (), Slow()).generate([user("[1] passage\n\nQuestion: why")], Sampling(), asked=[user("why")])
    assert [each["content"] for each in echo.sent[0]] == ["why", "found", "[1] passage\n\nQuestion: why"]
    with pytest.raises(ValueError):
        Prompted(echo, None).generate([user("a"), user("b")], Sampling(), asked=[user("a")])


def test_the_search_is_part_of_the_time_and_only_where_there_is_one() -> None:
    told: list[float] = []
    (reply,) = Prompted(Echo(), None, (), Slow()).generate(
        [user("hello")], Sampling(), lambda index, reply: told.append(reply.seconds)
    )
    assert 1.01 <= reply.seconds < 2 and told == [reply.seconds]
    assert [each["content"] for each in reply.messages] == ["hello", "found", "hello"]
    assert Prompted(Echo(), "Be brief.").generate([user("hello")], Sampling())[0].seconds == 1.0
