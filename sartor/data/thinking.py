"""What a model thinks aloud before it answers is no part of the answer: where it stands, and the text without it."""

import re
from collections.abc import Sequence

NAMES = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad"
# In the tags of DeepSeek, Qwen and others; in Kimi's marks; in the channels of gpt-oss, where control tokens were left.
_CLOSED = re.compile(rf"<({NAMES})>.*?</\1>|◁think▷.*?◁/think▷", re.DOTALL | re.IGNORECASE)
_CHANNELS = re.compile(r"<\|channel\|>analysis.*?<\|channel\|>final<\|message\|>", re.DOTALL)
_NOT_OPENED = re.compile(rf"\A(?:(?!<(?:{NAMES})>).)*?</(?:{NAMES})>", re.DOTALL | re.IGNORECASE)
_NOT_CLOSED = re.compile(rf"<(?:{NAMES})>.*\Z|◁think▷.*\Z|<\|channel\|>analysis.*\Z", re.DOTALL | re.IGNORECASE)


def without_thinking(text: str) -> str:
    """The text that follows the thinking; a text without thinking is itself, unchanged.

    Templates that open the thinking themselves leave a closing tag alone: all before it goes. Thinking that was never
    closed reaches to the end, so nothing of it is an answer.
    """
    rest = text
    for pattern in (_CHANNELS, _CLOSED, _NOT_OPENED, _NOT_CLOSED):
        rest = pattern.sub("", rest)
    return text if rest == text else rest.strip()


def scored_text(text: str, answers: Sequence[str]) -> str:
    """What a scorer reads of a reply: without its thinking, unless an accepted answer has such marks itself."""
    if any(without_thinking(answer) != answer for answer in answers):
        return text
    return without_thinking(text)
