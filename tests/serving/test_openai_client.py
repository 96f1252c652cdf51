"""The official client against our server."""

from collections.abc import Callable
from typing import Any

import openai
import pytest

from sartor.data.records import Message
from sartor.generation.prices import PriceTable
from sartor.generation.protocol import Sampling
from sartor.generation.remote import Remote

KEY = "correct-horse-0123456789"
HELLO: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture
def client(start: Callable[..., Any]) -> openai.OpenAI:
    live = start(key=KEY)
    return openai.OpenAI(base_url=f"{live.url}/v1", api_key=KEY, max_retries=0)


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="echo", messages=HELLO, logprobs=True, user="ann")
    assert answer.choices[0].message.content == "hello" and answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.completion_tokens == 6
    log_probs = answer.choices[0].logprobs
    assert log_probs is not None and "".join(token.token for token in log_probs.content or []) == "hello"
    again: Any = [*HELLO, answer.choices[0].message, {"role": "user", "content": "more"}]
    assert client.chat.completions.create(model="echo", messages=again).choices[0].message.content == "more"


def test_streaming(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="grounded", messages=HELLO, stream=True, stream_options={"include_usage": True}, max_tokens=3
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "hel"
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 3
    last = chunks[-2].choices[0]
    assert last.finish_reason == "length"
    assert (last.delta.model_extra or {})["sartor"]["passages"][0]["chunk_id"] == "c7"


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["echo", "grounded"]
    assert client.models.retrieve("grounded").owned_by == "sartor"


def test_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nothing", messages=HELLO)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "x" * 500}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as tools:
        client.chat.completions.create(
            model="echo", messages=HELLO, tools=[{"type": "function", "function": {"name": "f"}}]
        )
    assert tools.value.param == "tools"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()


def test_a_failure_in_a_stream_is_raised_and_a_full_queue_is_a_rate_limit(start: Callable[..., Any]) -> None:
    live = start(max_answers=2)
    client = openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0)
    live.engine.failures_to_come = 1
    with pytest.raises(openai.APIError, match="engine failed"):
        list(client.chat.completions.create(model="echo", messages=HELLO, stream=True))
    live.engine.gate.clear()
    stream = client.chat.completions.create(model="echo", messages=HELLO, n=2, stream=True)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="echo", messages=HELLO)
    live.engine.gate.set()
    assert sum(bool(chunk.choices[0].finish_reason) for chunk in stream) == 2


def test_our_own_remote_generator(start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    live = start(key=KEY)
    monkeypatch.setenv("ECHO_KEY", KEY)
    remote = Remote("echo", f"{live.url}/v1", api_key_env="ECHO_KEY", prices=PriceTable(()))
    asked = [[Message(role="user", content=text)] for text in ("one", "x" * 500, "three")]
    replies = remote.generate(asked, Sampling(max_new_tokens=20, temperature=1.0, seed=9, stop=("e#",)))
    assert [reply.finish for reply in replies] == ["stop", "error", "stop"]
    assert [reply.text for reply in replies] == ["on", "", "thre"]
    assert "200 tokens" in (replies[1].error or "")
    assert {sampling.seed for sampling in live.engine.samplings} == {9}
