"""What a model thinks aloud is told from what it answers."""

import pytest

from sartor.data.thinking import scored_text, without_thinking

ALOUD = {
    "DeepSeek, Qwen": "<think>\nIt is not Rome.\n</think>\n\nParis",
    "in capitals": "<THINK>Rome?</THINK> Paris",
    "another name": "<reasoning>Rome?</reasoning>Paris",
    "opened by the template": "It is not Rome.\n</think>\n\nParis",
    "twice": "<think>Rome?</think>Par<think>or Oslo?</think>is",
    "Kimi": "◁think▷Rome?◁/think▷Paris",
    "gpt-oss": "<|channel|>analysis<|message|>Rome?<|end|><|start|>assistant<|channel|>final<|message|>Paris",
}


@pytest.mark.parametrize("text", ALOUD.values(), ids=ALOUD)
def test_only_what_follows_the_thinking_is_left(text: str) -> None:
    assert without_thinking(text) == "Paris"


@pytest.mark.parametrize("text", ["<think>It may be Rome, or", "◁think▷It may", "<|channel|>analysis<|message|>It may"])
def test_thinking_that_never_ends_leaves_no_answer(text: str) -> None:
    assert without_thinking(text) == ""


@pytest.mark.parametrize("text", ["  Paris \n", "I think <b>Paris</b>", "a <thin> line", "", "if a < b think > c"])
def test_a_text_without_thinking_stays_as_it_is(text: str) -> None:
    assert without_thinking(text) == text


def test_where_thinking_is_wanted_it_is_scored() -> None:
    text = "<think>Rome?</think>Paris"
    assert scored_text(text, ["Paris"]) == "Paris"
    assert scored_text(text, ["Paris", "<think>a</think>b"]) == text
