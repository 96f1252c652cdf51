"""Each silent fault of a service is found by name, and a sound service is left in peace."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from sartor.data.records import Conversation
from sartor.generation.prices import PriceTable
from sartor.generation.remote import Remote
from sartor.generation.service_checks import check_service, cut_prompts
from tests.generation.fake_service import Act, completion, running

LONG = "long prompts are read whole"
LIMIT = "max_tokens is kept"
STOP = "stop is heeded"
REPEATS = "temperature 0 gives one answer"
SEED = "temperature and seed are heeded"
TEMPLATE = "the chat template is applied once"
MESSAGE_TOKENS = 3  # what the service's template adds to each message


def words_of(conversation: Conversation) -> int:
    return sum(len(message["content"].split()) + MESSAGE_TOKENS for message in conversation)


class WordModel:
    """A service whose tokens are words. It counts when asked to and else babbles by its seed; `faults` break it."""

    def __init__(self, *faults: str):
        self.faults = faults
        self.calls = 0

    def answer(self, request: dict[str, Any]) -> Act:
        self.calls += 1
        read = words_of(request["messages"]) * (2 if "template" in self.faults else 1)
        if "refuses long" in self.faults and read > 500:
            error = {"message": "too long", "type": "x", "code": "context_length_exceeded", "param": "messages"}
            return Act(400, {"error": error})
        if "cuts" in self.faults:
            read = min(read, 500)
        words = self._words(request)
        limit = 10_000 if "ignores max_tokens" in self.faults else request["max_tokens"]
        text = " ".join(words[:limit])
        finish = "length" if limit < len(words) else "stop"
        for stop in [] if "ignores stop" in self.faults else request.get("stop", []):
            if stop in text:
                text, finish = text[: text.index(stop)], "stop"
        usage = 0 if "says no usage" in self.faults else 1
        return Act(body=completion(text, finish, read * usage, len(text.split()) * usage))

    def _words(self, request: dict[str, Any]) -> list[str]:
        if request["temperature"] == 0 or "ignores temperature" in self.faults:
            first = self.calls if "is not repeatable" in self.faults else 1
            return [str(number) for number in range(first, first + 100)]
        generator = random.Random(self.calls if "ignores seed" in self.faults else request["seed"])
        return [generator.choice(("a", "of", "mill", "river", "old")) for _ in range(30)]


def findings(model: WordModel, count: Callable[[Conversation], int] | None = words_of) -> dict[str, bool | None]:
    with running(lambda *_: model.answer(service.requests[-1])) as service:
        remote = Remote("m", service.url, prices=PriceTable(()), concurrency=1)
        return {finding.check: finding.passed for finding in check_service(remote, count)}


def test_a_sound_service_passes_every_check() -> None:
    assert findings(WordModel()) == dict.fromkeys((LONG, LIMIT, STOP, REPEATS, SEED, TEMPLATE), True)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("cuts", LONG),
        ("ignores max_tokens", LIMIT),
        ("ignores stop", STOP),
        ("is not repeatable", REPEATS),
        ("ignores temperature", SEED),
        ("ignores seed", SEED),
        ("template", TEMPLATE),
    ],
)
def test_a_planted_fault_is_found_by_its_name(fault: str, check: str) -> None:
    assert [name for name, passed in findings(WordModel(fault)).items() if passed is False] == [check]


def test_a_prompt_that_is_refused_was_not_cut() -> None:
    assert findings(WordModel("refuses long"))[LONG] is True


def test_what_the_service_does_not_say_is_not_held_against_it() -> None:
    found = findings(WordModel("says no usage"), count=None)
    assert [found[check] for check in (LONG, LIMIT, TEMPLATE)] == [None, None, None]


def test_cut_prompts_are_told_from_answers_already_given() -> None:
    sizes = [400 * number for number in range(1, 40)]
    whole = [size // 4 for size in sizes]
    assert cut_prompts(sizes, whole) is None
    assert cut_prompts(sizes, [min(tokens, 2048) for tokens in whole]) == 2048
    assert cut_prompts([400] * 20, [100] * 20) is None, "equal prompts have equal counts"
    assert cut_prompts(sizes, [0] * len(sizes)) is None, "a service that does not count"
