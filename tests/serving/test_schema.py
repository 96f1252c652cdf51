import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.generation.protocol import Sampling
from sartor.serving.errors import ApiError
from sartor.serving.schema import ChatRequest, parse_chat_request

MINIMAL = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def parse(**options: Any) -> ChatRequest:
    return parse_chat_request(json.dumps(MINIMAL | options).encode())


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
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
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
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "tool", "content": "y"}]},
            "messages[1].role",
        ),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
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
        response_format={"type": "text"},
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


def test_samplings_keep_what_the_path_was_measured_with() -> None:
    default = Sampling(max_new_tokens=50, temperature=0.0, top_p=0.9, stop=("\n",), seed=3)
    assert parse(seed=1).samplings(default, 1000) == [Sampling(50, 0.0, 0.9, ("\n",), 1)]
    assert parse(seed=1).samplings(default, 20)[0].max_new_tokens == 20
    assert parse(seed=-2, n=2, temperature=1, top_p=1, stop=["\n", "x"], max_tokens=70).samplings(
        default, 1000
    ) == [Sampling(70, 1.0, 1.0, ("\n", "x"), -2), Sampling(70, 1.0, 1.0, ("\n", "x"), -1)]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*ChatRequest.model_fields, "tools", "logit_bias", "top_logprobs", "other"])


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(names, anything, max_size=4))
def test_any_values_give_a_request_or_400(options: dict[str, Any]) -> None:
    try:
        request = parse(**options)
    except ApiError as error:
        assert error.status == 400 and error.param
        return
    for sampling in request.samplings(Sampling(), 100):
        assert sampling.max_new_tokens >= 1 and 0 <= sampling.temperature <= 2 and 0 < sampling.top_p <= 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_400(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse_chat_request(body)
    assert caught.value.status == 400
