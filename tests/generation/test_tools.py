"""Tools: shown to every model, called in a form that is always read back."""

import json
import random
from typing import Any

import pytest

from sartor.base.errors import DataError, UsageError
from sartor.data.chat import ChatFormat
from sartor.data.records import Conversation, Message
from sartor.generation.tool_grammar import check_tools
from sartor.generation.tools import ToolCall, parse_tool_calls, render_tools
from tests import tiny_models
from tests.generation.grammar_walk import answer, world

HERMES = (
    "{% if tools %}<|im_start|>system\nTools:\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n"
    "{% endif %}{% for message in messages %}"
    "{% if message.role == 'tool' %}<|im_start|>user\n<tool_response>\n{{ message.content }}\n</tool_response>"
    "{% else %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}\n<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n</tool_call>'
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLACE = {"type": "object", "properties": {"place": {"type": "string", "maxLength": 4}}, "required": ["place"]}


def tool(name: str, parameters: Any = PLACE, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": parameters, **more}}


TOOLS = [tool("weather"), tool("now", {"type": "object", "properties": {}})]
CALL = '<tool_call>\n{"name": "weather", "arguments": {"place": "a</tool_call>"}}\n</tool_call>'
READ = ToolCall("weather", '{"place": "a</tool_call>"}')


def turns() -> Conversation:
    function = {"name": "weather", "arguments": '{"place": "Oslo"}'}
    return [
        Message(role="system", content="be brief"),
        Message(role="user", content="how is it?"),
        Message(role="assistant", content="", tool_calls=[{"id": "1", "type": "function", "function": function}]),
        Message(role="tool", content="rain", tool_call_id="1"),
        Message(role="user", content="so?"),
    ]


def chat_format(kind: str) -> ChatFormat:
    if kind in tiny_models.TEMPLATES:
        return ChatFormat(tiny_models.tokenizer(kind))
    chat = ChatFormat(tiny_models.tokenizer("chatml"))
    chat.template = HERMES
    return chat


@pytest.mark.parametrize("kind", ["hermes", *tiny_models.TEMPLATES])
def test_every_template_shows_tools_calls_and_results(kind: str) -> None:
    chat = chat_format(kind)
    assert chat.writes_tool_calls is (kind == "hermes")
    text = chat.tokenizer.decode(render_tools(turns(), TOOLS, chat))
    written = '<tool_call>\n{"name": "weather", "arguments": {"place": "Oslo"}}\n</tool_call>'
    assert written in text and "<tool_response>\nrain\n</tool_response>" in text and "so?" in text
    assert text.count('"name": "now"') == 1 and "be brief" in text
    assert text.index("be brief") < text.index(written) < text.index("rain") < text.index("so?")


@pytest.mark.parametrize("kind", ["hermes", *tiny_models.TEMPLATES])
def test_without_tools_the_prompt_is_the_usual_one(kind: str) -> None:
    chat = chat_format(kind)
    messages = [Message(role="user", content="hello")]
    assert render_tools(messages, [], chat) == chat.prompt(messages)
    messages.append(Message(role="user", content="are you there?"))
    assert render_tools(messages, [], chat) == chat.prompt(messages)
    assert "You can call" not in chat.tokenizer.decode(render_tools(turns(), [], chat))


def test_turns_are_joined_where_the_template_refuses_them_otherwise() -> None:
    chat = chat_format("chatml")
    chat.template = (
        "{% for message in messages %}{% if (message.role == 'user') != loop.first %}{{ raise_exception('no') }}"
        "{% endif %}{{ message.content }}{% endfor %}"
    )
    messages = [Message(role="user", content="hello"), Message(role="user", content="are you there?")]
    assert chat.tokenizer.decode(render_tools(messages, [], chat)) == "hello\nare you there?"


@pytest.mark.parametrize("kind", ["hermes", *tiny_models.TEMPLATES])
def test_control_tokens_typed_in_tools_calls_and_results_stay_text(kind: str) -> None:
    chat = chat_format(kind)
    typed = "".join(chat.special_tokens)
    before = render_tools(turns(), TOOLS, chat)
    plain = sum(each in chat.special_ids for each in before)
    messages = turns()
    messages[1]["content"] += typed
    messages[3]["content"] += typed
    messages[2]["tool_calls"][0]["function"]["arguments"] = json.dumps({"place": typed, typed: 1})
    tools = [tool("weather", {**PLACE, "description": typed}, description=typed), TOOLS[1]]
    ids = render_tools(messages, tools, chat)
    assert sum(each in chat.special_ids for each in ids) == plain
    assert chat.tokenizer.decode(ids).count(typed) == chat.tokenizer.decode(before).count(typed) + 6


def test_arguments_in_earlier_calls_are_json_objects() -> None:
    messages = turns()
    messages[2]["tool_calls"][0]["function"]["arguments"] = "[1"
    with pytest.raises(DataError, match="weather"):
        render_tools(messages, TOOLS, chat_format("chatml"))


@pytest.mark.parametrize(
    ("text", "words", "calls"),
    [
        ("just words", "just words", []),
        (CALL, "", [READ]),
        (f"let me see\n{CALL}\n{CALL}", "let me see\n", [READ, READ]),
        ("a <tool_call> is no call", "a <tool_call> is no call", []),
        ('<tool_call>\n{"name": "x", "arguments": {"a": NaN}}\n</tool_call>', None, []),
        ('<tool_call>\n{"name": "x", "arguments": [1]}\n</tool_call>', None, []),
        (f"<tool_call> {CALL}", "<tool_call> ", [READ]),
        ("ends with <tool_", "ends with <tool_", []),
        ('<tool_call>\n{"name": "x", "arguments": {"a": 1e999}}\n</tool_call>', "", [ToolCall("x", '{"a": 1e999}')]),
    ],
)
def test_calls_are_read_and_the_rest_is_words(text: str, words: str | None, calls: list[ToolCall]) -> None:
    assert parse_tool_calls(text) == (text if words is None else words, calls)
    shown, known = "", 0
    for end in range(len(text) + 1):  # while it arrives, what was shown is never taken back
        now, found = parse_tool_calls(text[:end], final=False)
        assert now.startswith(shown) and len(found) >= known
        assert not now.endswith("<tool_ca")
        shown, known = now, len(found)
    final, found = parse_tool_calls(text)
    assert final.startswith(shown) and found[:known] == found[: len(found)][:known]


@pytest.mark.parametrize("choice", ["required", "weather", "now"])
@pytest.mark.parametrize("parallel", [True, False])
def test_calls_that_are_required_are_made_with_valid_arguments(choice: str, parallel: bool) -> None:
    chat, grammars = world()
    make, draw = grammars.tool_calls(TOOLS, choice, parallel), random.Random(1)
    said = [text for text in (answer(chat, make(), draw) for _ in range(20)) if text is not None]
    assert len(said) > 5
    counts = set()
    for text in said:
        words, calls = parse_tool_calls(text)
        counts.add(len(calls))
        assert words == "" and calls
        for call in calls:
            assert call.name in ({"weather", "now"} if choice == "required" else {choice})
            arguments = json.loads(call.arguments)
            assert set(arguments) == ({"place"} if call.name == "weather" else set())
    assert counts == {1} if choice != "required" or not parallel else max(counts) > 1


def allowed_through(constraint: Any, text: str, chat: ChatFormat) -> bool:
    for token in chat.tokenizer(text, add_special_tokens=False).input_ids:
        if not constraint.allowed()[token]:
            return False
        constraint.accept(token)
    return bool(constraint.allowed()[sorted(chat.stop_ids)].all())


def test_auto_allows_words_or_calls_that_are_well_formed() -> None:
    chat, grammars = world()
    several, one = grammars.tool_calls(TOOLS), grammars.tool_calls(TOOLS, "auto", False)
    call = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
    for text in ("", "only words", "a <tool_ is none", call, f"words first\n{call}"):
        assert allowed_through(several(), text, chat) and allowed_through(one(), text, chat), text
    assert allowed_through(several(), f"{call}\n{call}", chat)
    assert not allowed_through(one(), f"{call}\n{call}", chat)
    for text in (
        "<tool_call> no",
        f"{call} words",
        call.replace("now", "never"),
        call.replace("{}", '{"a": 1}'),
        call[:-3],
    ):
        assert not allowed_through(several(), text, chat), text


@pytest.mark.parametrize(
    ("tools", "where"),
    [
        ([], "tools"),
        ([tool("a")] * 2, "tools[1].function.name"),
        ([tool("a b")], "tools[0].function.name"),
        ([tool("a" * 65)], "tools[0].function.name"),
        ([tool("a\n")], "tools[0].function.name"),
        ([tool("a", {"type": "array"})], "tools[0].function.parameters"),
        ([tool("a", {"type": "object", "not": {}})], "tools[0].function.parameters"),
        ([tool("a", description="x" * 5_000)], "tools[0].function.description"),
        ([tool("a", strict="yes")], "tools[0].function.strict"),
        ([tool("a", PLACE, strict=True)], "tools[0].function.parameters"),
        ([tool("a", colour="red")], "tools[0]"),
        ([{"type": "retrieval"}], "tools[0]"),
        ([tool(f"t{number}") for number in range(129)], "tools"),
    ],
)
def test_wrong_definitions_are_named(tools: list[dict[str, Any]], where: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_tools(tools)
    assert caught.value.where == where


def test_a_tool_that_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(UsageError, match="no tool 'other'"):
        world()[1].tool_calls(TOOLS, "other")


def test_references_inside_parameters_stay_inside() -> None:
    chat, grammars = world()
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"const": 1}}}
    make = grammars.tool_calls([tool("a", schema), tool("c", {**schema, "$defs": {"b": {"const": 2}}})], "required")
    call = '<tool_call>\n{"name": "NAME", "arguments": {"a": 1}}\n</tool_call>'
    assert allowed_through(make(), call.replace("NAME", "a"), chat)
    assert not allowed_through(make(), call.replace("NAME", "c"), chat)
