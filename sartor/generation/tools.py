"""Tools that a model may call: shown to it in its prompt, and its calls read out of its answer.

A call is written as `<tool_call>`, a line of JSON with `name` and `arguments`, and `</tool_call>`, as many models were
trained to (the form of Hermes and Qwen). Models whose chat template writes calls in this way get tools through it, all
others through a text of ours.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.base.errors import DataError
from sartor.data.chat import ChatFormat
from sartor.data.records import Conversation, Message
from sartor.generation.tool_grammar import BEGIN, END

SYSTEM_TEXT = (
    "You can call these functions:\n{tools}\n"
    'To call one, write <tool_call>\n{{"name": NAME, "arguments": {{…}}}}\n</tool_call>\n'
    "Results come as <tool_response>. Answer in words when no function is needed."
)
_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*"([A-Za-z0-9_-]{1,64})"\s*,\s*"arguments"\s*:\s*(?=\{)')
_TAIL = re.compile(rf"\s*\}}\s*{END}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)


@dataclass(frozen=True)
class ToolCall:
    """`arguments` is JSON text, as the model wrote it."""

    name: str
    arguments: str


def render_tools(conversation: Conversation, tools: Sequence[Mapping[str, Any]], chat: ChatFormat) -> list[int]:
    """The prompt's ids; messages may have the role `tool` or `tool_calls`, and `tools` may be empty.

    DataError for calls whose arguments are no JSON object, and for what the template refuses.
    """
    read = [_with_read_arguments(message) for message in conversation]
    if chat.writes_tool_calls:
        return chat.prompt(read, [dict(tool) for tool in tools])
    if not tools and not any(message["role"] == "tool" or message.get("tool_calls") for message in read):
        with contextlib.suppress(DataError):  # a template may want turns to alternate
            return chat.prompt(read)  # as it is measured, and learnt
    return chat.prompt(_in_words(read, tools))


def _with_read_arguments(message: Message) -> Message:
    """Templates expect arguments as values, the API has them as text."""
    if "tool_calls" not in message:
        return message
    calls = [_read_call(call["function"]) for call in message["tool_calls"]]
    return {**message, "tool_calls": [{"type": "function", "function": call} for call in calls]}


def _read_call(function: Mapping[str, Any]) -> dict[str, Any]:
    arguments = function["arguments"]
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError(f"the arguments of the call of {function['name']} are not a JSON object", where="messages")
    return {"name": function["name"], "arguments": value}


def _in_words(conversation: Conversation, tools: Sequence[Mapping[str, Any]]) -> Conversation:
    """The same conversation with roles and texts that every chat template knows."""
    written: Conversation = []
    for message in conversation:
        role, content = message["role"], message["content"]
        if message.get("tool_calls"):
            calls = "\n".join(_write_call(call["function"]) for call in message["tool_calls"])
            content = f"{content}\n{calls}" if content else calls
        if role == "tool":
            role, content = "user", f"<tool_response>\n{content}\n</tool_response>"
        if role == "user" and written and written[-1]["role"] == "user":  # many templates want turns to alternate
            written[-1] = Message(role=role, content=f"{written[-1]['content']}\n{content}")
        else:
            written.append(Message(role=role, content=content))
    if not tools:
        return written
    text = SYSTEM_TEXT.format(tools="\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools))
    if written and written[0]["role"] == "system":
        return [Message(role="system", content=f"{written[0]['content']}\n\n{text}"), *written[1:]]
    return [Message(role="system", content=text), *written]


def _write_call(function: Mapping[str, Any]) -> str:
    return f"{BEGIN}\n{json.dumps(function, ensure_ascii=False)}\n{END}"


def parse_tool_calls(text: str, final: bool = True) -> tuple[str, list[ToolCall]]:
    """The words that are safe to show, which only grow while the answer does, and the calls that are complete.

    What only looks like a call is words. Until the answer is `final`, what may become a call is held back.
    """
    words, place = "", 0
    calls: list[ToolCall] = []
    while True:
        begin = text.find(BEGIN, place)
        if begin < 0:
            rest = text[place:]
            held = 0 if final else _overlap(rest, BEGIN)
            words += _before(rest[: len(rest) - held], calls)
            break
        found = _read_answer_call(text, begin)
        if found is None and not final:
            words += _before(text[place:begin], calls)
            break
        if found is None:
            words += text[place : begin + len(BEGIN)]
            place = begin + len(BEGIN)
            continue
        words += _before(text[place:begin], calls)
        call, place = found
        calls.append(call)
    return words, calls


def _before(text: str, calls: Sequence[ToolCall]) -> str:
    """The words in front of a call; white space between calls is none."""
    return "" if calls and not text.strip() else text


def _read_answer_call(text: str, begin: int) -> tuple[ToolCall, int] | None:
    """The call that begins here and the place behind it, None if there is none that is complete.

    Its JSON is read to its own end, so that the end mark may stand in an argument.
    """
    head = _HEAD.match(text, begin + len(BEGIN))
    if head is None:
        return None
    try:
        _, end = _decoder.raw_decode(text, head.end())
    except (ValueError, RecursionError):
        return None
    tail = _TAIL.match(text, end)
    return None if tail is None else (ToolCall(head[1], text[head.end() : end]), tail.end())


def _overlap(text: str, mark: str) -> int:
    """How many last characters of the text could begin the mark."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:length]):
            return length
    return 0
