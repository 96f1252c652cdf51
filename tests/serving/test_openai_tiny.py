"""The official client against a real tiny model: what a fake engine cannot show."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest

from tests.serving.tiny_server import PASSAGE, TinyServer, tiny_server

HELLO: Any = [{"role": "user", "content": "hello"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "find_ship",
        "description": "Where a ship lies.",
        "parameters": {
            "type": "object",
            "properties": {
                "colour": {"enum": ["red", "blue"]},
                "year": {"type": "integer", "maximum": 9, "minimum": 0},
            },
            "required": ["colour", "year"],
            "additionalProperties": False,
        },
    },
}
SCHEMA: Any = TOOL["function"]["parameters"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyServer]:
    with tiny_server(tmp_path_factory.mktemp("tiny")) as made:
        yield made


@pytest.fixture(scope="module")
def client(server: TinyServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_embeddings(client: openai.OpenAI, server: TinyServer) -> None:
    """The client asks for base64 and unpacks it."""
    answer = client.embeddings.create(model="vectors", input=["north harbour", "captain"])
    found = np.array([item.embedding for item in answer.data], np.float32)
    assert np.array_equal(found, server.embedder.embed(["north harbour", "captain"]))
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt=["the cat", "said"], max_tokens=3, logprobs=2, echo=True)
    assert [choice.text.startswith(text) for choice, text in zip(answer.choices, ["the cat", "said"], strict=True)]
    log_probs = answer.choices[0].logprobs
    assert log_probs is not None and log_probs.token_logprobs is not None and log_probs.token_logprobs[0] is None
    chunks = list(client.completions.create(model="tiny", prompt="the cat", max_tokens=3, stream=True))
    whole = client.completions.create(model="tiny", prompt="the cat", max_tokens=3).choices[0]
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.text
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model="rag", prompt="the cat")
    assert refused.value.param == "model"


def test_log_probabilities_with_alternatives(client: openai.OpenAI, server: TinyServer) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=6, logprobs=True, top_logprobs=4, logit_bias={"0": -100}
    )
    log_probs = answer.choices[0].logprobs
    assert log_probs is not None and log_probs.content
    for token in log_probs.content:
        values = [other.logprob for other in token.top_logprobs]
        assert len(values) == 4 and values == sorted(values, reverse=True)
        assert token.logprob == values[0] and token.token == token.top_logprobs[0].token
        assert token.bytes is not None and bytes(token.bytes).decode("utf-8", "replace") == token.token
    raw = b"".join(bytes(token.bytes or ()) for token in log_probs.content)
    assert raw.decode("utf-8", "replace") == answer.choices[0].message.content


def test_citations_stay(client: openai.OpenAI) -> None:
    message = client.chat.completions.create(model="rag", messages=HELLO, max_tokens=2).choices[0].message
    assert (message.model_extra or {})["sartor"]["passages"][0]["chunk_id"] == PASSAGE.chunk_id


def test_an_answer_keeps_to_a_schema(client: openai.OpenAI) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "ship", "schema": SCHEMA}}
    for seed in range(4):
        answer = client.chat.completions.create(
            model="tiny", messages=HELLO, response_format=form, max_tokens=1000, temperature=1, seed=seed
        )
        found = json.loads(answer.choices[0].message.content or "")
        assert set(found) == {"colour", "year"} and found["colour"] in ("red", "blue") and 0 <= found["year"] <= 9
        assert answer.choices[0].finish_reason == "stop"


def test_a_tool_is_called_and_its_result_sent_back(client: openai.OpenAI) -> None:
    options: Any = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 1000}
    options |= {"temperature": 1, "seed": 1}
    answer = client.chat.completions.create(model="tiny", messages=HELLO, **options).choices[0]
    assert answer.finish_reason == "tool_calls" and answer.message.tool_calls is not None
    (call,) = answer.message.tool_calls
    assert call.type == "function" and call.function.name == "find_ship"
    arguments = json.loads(call.function.arguments)
    assert arguments["colour"] in ("red", "blue") and 0 <= arguments["year"] <= 9
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "north harbour"}
    again = client.chat.completions.create(
        model="tiny", messages=[*HELLO, answer.message, result], tools=[TOOL], tool_choice="none", max_tokens=5
    )
    assert again.choices[0].finish_reason in ("stop", "length")
    assert again.usage is not None and again.usage.prompt_tokens > 20


def test_streamed_tool_calls_are_the_whole_ones(client: openai.OpenAI) -> None:
    options: Any = {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "find_ship"}}}
    options |= {"temperature": 1, "seed": 1, "max_tokens": 1000, "messages": HELLO, "model": "tiny"}
    whole = client.chat.completions.create(**options).choices[0]
    names, arguments, finish = "", "", None
    for chunk in client.chat.completions.create(**options, stream=True):
        for call in chunk.choices[0].delta.tool_calls or []:
            assert call.index == 0 and call.function is not None
            names += call.function.name or ""
            arguments += call.function.arguments or ""
        finish = chunk.choices[0].finish_reason or finish
    assert whole.message.tool_calls is not None
    wanted: Any = whole.message.tool_calls[0]
    assert (names, arguments, finish) == (wanted.function.name, wanted.function.arguments, "tool_calls")
