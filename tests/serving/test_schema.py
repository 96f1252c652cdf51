import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.generation.protocol import Sampling
from sartor.serving.errors import ApiError
from sartor.serving.schema_chat import ChatRequest

MINIMAL = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
USER = {"role": "user", "content": "hi"}
CALLING = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "42"}
TOOL = {"type": "function", "function": {"name": "f"}}
DEEP: dict[str, Any] = {"a": 1}
for _ in range(100):
    DEEP = {"a": DEEP}


def parse(**options: Any) -> ChatRequest:
    return ChatRequest.parse(json.dumps(MINIMAL | options).encode())


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"temperature": "0.5"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": math.nan}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"n": 10**30}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -5}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"seed": 2**63}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"stop": ""}, "stop[0]"),
        ({"stop": [str(number) for number in range(17)]}, "stop"),
        ({"stop": 5}, "stop"),
        ({"stop": ["a", 1]}, "stop[1]"),
        ({"stop": "x" * 501}, "stop[0]"),
        ({"stop": "\ud800"}, "stop[0]"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usge": True}}, "stream_options.include_usge"),
        ({"model": 5}, "model"),
        ({"model": None}, "model"),
        ({"logprobs": 1}, "logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "\udfff"}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x", "name": "Ann"}]}, "messages[0].name"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ({"messages": [USER, {"role": "tool", "content": "y"}]}, "messages[1].tool_call_id"),
        ({"messages": [USER, CALLING, {"role": "tool", "content": "y"}]}, "messages[2].tool_call_id"),
        ({"messages": [USER, CALLING, {**RESULT, "tool_call_id": "c2"}]}, "messages[2].tool_call_id"),
        ({"messages": [USER, CALLING, RESULT, RESULT]}, "messages[3].tool_call_id"),
        ({"messages": [{**USER, "tool_call_id": "c1"}]}, "messages[0].tool_call_id"),
        ({"messages": [{**CALLING, "role": "user"}]}, "messages[0].tool_calls"),
        ({"messages": [USER, CALLING]}, "messages"),
        ({"messages": [USER, {**CALLING, "tool_calls": []}, USER]}, "messages[1].tool_calls"),
        ({"messages": [USER, {**CALLING, "tool_calls": [{"id": "x"}]}, USER]}, "messages[1].tool_calls[0].function"),
        ({"frequency_penalty": 2.5}, "frequency_penalty"),
        ({"frequency_penalty": math.nan}, "frequency_penalty"),
        ({"presence_penalty": -2.5}, "presence_penalty"),
        ({"presence_penalty": "1"}, "presence_penalty"),
        ({"logit_bias": {"five": 1}}, "logit_bias"),
        ({"logit_bias": {"-5": 1}}, "logit_bias"),
        ({"logit_bias": {"\u0665": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias[5]"),
        ({"logit_bias": {"5": math.inf}}, "logit_bias[5]"),
        ({"logit_bias": [5]}, "logit_bias"),
        ({"logit_bias": {str(number): 0 for number in range(1025)}}, "logit_bias"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "web_search", "function": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools[0].function.name"),
        ({"tools": [TOOL, TOOL]}, "tools"),
        ({"tools": [TOOL] * 129}, "tools"),
        ({"tools": [{**TOOL, "function": {"name": "f", "parameters": DEEP}}]}, "tools[0].function.parameters"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
        ({"tools": [TOOL], "response_format": {"type": "json_object"}}, "response_format"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "text", "json_schema": {"name": "n", "schema": {}}}},
            "response_format.json_schema",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": DEEP}}},
            "response_format.json_schema.schema",
        ),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"store": True}, "store"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"modle": "x"}, "modle"),
        ({"modle": None}, "modle"),
        ({"top_k": 5}, "top_k"),
    ],
)
def test_what_is_refused_is_refused_by_name(options: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(**options)
    assert (caught.value.status, caught.value.param) == (400, param)
    json.dumps(caught.value.body()).encode("ascii")


def test_what_asks_for_nothing_is_accepted() -> None:
    request = parse(
        user="ann",
        metadata={"a": 1},
        presence_penalty=0,
        frequency_penalty=0.0,
        logit_bias={},
        tools=[],
        tool_choice=None,
        store=False,
        top_logprobs=None,
        service_tier="auto",
        temperature=None,
        max_tokens=None,
        stop=None,
        n=None,
        stream=None,
        seed=None,
        logprobs=None,
    )
    assert request == parse(user="ann", metadata={"a": 1})


def test_null_is_left_out() -> None:
    names = set(ChatRequest.model_fields) - {"model", "messages"}
    assert parse(**dict.fromkeys(names)) == parse()


def test_samplings_keep_what_the_path_was_measured_with() -> None:
    default = Sampling(max_new_tokens=50, temperature=0.0, top_p=0.9, stop=("\n",), seed=3)
    assert parse().sampling(default, 1000, 1) == Sampling(50, 0.0, 0.9, ("\n",), 1)
    assert parse().sampling(default, 20, 1).max_new_tokens == 20
    asked = parse(temperature=1, top_p=1, stop=["\n", "x"], max_tokens=70)
    assert asked.sampling(default, 1000, -2) == Sampling(70, 1.0, 1.0, ("\n", "x"), -2)
    asked = parse(frequency_penalty=1, presence_penalty=-0.5, logit_bias={"7": -100, "2": 1.5}, logprobs=True)
    made = asked.sampling(default, 1000, 0)
    assert (made.frequency_penalty, made.presence_penalty) == (1.0, -0.5)
    assert made.logit_bias == ((2, 1.5), (7, -100.0)) and made.top_log_probs == 0
    assert parse(logprobs=True, top_logprobs=20).sampling(default, 1000, 0).top_log_probs == 20


def test_conversations_with_tools() -> None:
    request = parse(messages=[{"role": "developer", "content": "be kind"}, USER, CALLING, RESULT], tools=[TOOL])
    system, _, calling, result = request.conversation
    assert system == {"role": "system", "content": "be kind"}
    assert calling["content"] == "" and calling["tool_calls"] == CALLING["tool_calls"]
    assert result == {"role": "tool", "content": "42", "tool_call_id": "c1"}
    assert [tool["function"]["name"] for tool in request.usable_tools] == ["f"]
    assert request.asked_of_the_engine() == ["tools"]
    assert parse(tools=[TOOL], tool_choice="none").usable_tools == []
    assert parse(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "f"}}).required_tool == "f"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*ChatRequest.model_fields, "store", "audio", "other"])


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(names, anything, max_size=4))
def test_any_values_give_a_request_or_400(options: dict[str, Any]) -> None:
    try:
        request = parse(**options)
    except ApiError as error:
        assert error.status == 400 and error.param
        return
    sampling = request.sampling(Sampling(), 100, 0)
    assert sampling.max_new_tokens >= 1 and 0 <= sampling.temperature <= 2 and 0 < sampling.top_p <= 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_400(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        ChatRequest.parse(body)
    assert caught.value.status == 400
