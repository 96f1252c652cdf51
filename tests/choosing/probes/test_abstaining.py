"""Replies that say that they do not know, and those that do not."""

from collections.abc import Callable

import pytest

from sartor.choosing.probes.abstaining import abstains, asks_for_unknown, own_phrase
from sartor.data.records import Row

NIL = "Not in the handbook [NIL]"


def test_the_phrase_is_what_most_rows_without_evidence_answer(row: Callable[..., Row]) -> None:
    known = [row(number, "?", f"answer {number}", evidence=["a.md"]) for number in range(5)]
    unknown = [row(number, "?", NIL) for number in range(10, 13)]
    assert own_phrase(known + unknown) == NIL
    assert own_phrase(known + unknown[:2]) is None  # two rows may be a coincidence
    assert own_phrase(unknown) is None  # without any evidence it is an answer like any other
    others = [row(number, "?", f"other {number}") for number in range(20, 24)]
    assert own_phrase(known + unknown + others) is None
    assert asks_for_unknown(unknown[0], NIL) and not asks_for_unknown(known[0], NIL)
    assert not asks_for_unknown(unknown[0], None)


@pytest.mark.parametrize(
    "reply",
    ["not in the handbook", "Not in the handbook [NIL].", "I don’t know.", "The documents do not say.",
     "The text doesn't mention it.", "This is not specified in the passages.", "Unknown"],
)  # fmt: skip
def test_abstains(reply: str) -> None:
    assert abstains(reply, NIL)


@pytest.mark.parametrize("reply", ["£8 [TK-1]", "The handbook lies in the mess.", "a known rule", "", "no"])
def test_answers(reply: str) -> None:
    assert not abstains(reply, NIL)
