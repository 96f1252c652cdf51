"""`/v1/chat/completions` and `/v1/models` over real sockets."""

import json
from typing import Any

import httpx
import pytest


def chat(live: Any, content: str = "hello", **options: Any) -> httpx.Response:
    body = {"model": "echo", "messages": [{"role": "user", "content": content}]} | options
    return httpx.post(f"{live.url}/v1/chat/completions", json=body, timeout=30)


def events(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"].startswith("text/event-stream")
    *blocks, last, rest = response.text.split("\n\n")
    assert (last, rest) == ("data: [DONE]", "")
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def test_a_whole_answer(live: Any) -> None:
    answer = chat(live, "hello").json()
    assert answer["object"] == "chat.completion" and answer["model"] == "echo"
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hello", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    prompt = len("user: hello")
    assert answer["usage"] == {"prompt_tokens": prompt, "completion_tokens": 6, "total_tokens": prompt + 6}


def test_defaults_are_those_the_path_was_measured_with_and_requests_override_them(live: Any) -> None:
    chat(live)
    chat(live, max_tokens=3, temperature=0.5, top_p=0.25, stop=["x", "y"], seed=11)
    first, second = live.engine.samplings
    assert (first.max_new_tokens, first.temperature, first.top_p, first.stop) == (64, 0.0, 1.0, ())
    assert (second.max_new_tokens, second.temperature, second.top_p) == (3, 0.5, 0.25)
    assert second.stop == ("x", "y") and second.seed == 11


def test_limits_and_stops(live: Any) -> None:
    limited = chat(live, "hello world", max_completion_tokens=5).json()["choices"][0]
    assert (limited["message"]["content"], limited["finish_reason"]) == ("hello", "length")
    stopped = chat(live, "hello world", stop=" wo").json()["choices"][0]
    assert (stopped["message"]["content"], stopped["finish_reason"]) == ("hello", "stop")


def test_several_choices_differ_by_seed(live: Any) -> None:
    answer = chat(live, "hi", n=3, temperature=1, seed=5).json()
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["hi#5", "hi#6", "hi#7"]
    assert answer["usage"]["completion_tokens"] == 3 * 5 and answer["usage"]["prompt_tokens"] == len(
        "user: hi"
    )


def test_unseeded_samples_differ(live: Any) -> None:
    assert (
        len({chat(live, "hi", temperature=1).json()["choices"][0]["message"]["content"] for _ in range(4)})
        > 1
    )


def test_a_stream_says_the_same_as_the_whole_answer(live: Any) -> None:
    text = "hello — ünï\u2028code \U0001f9f5!"
    whole = chat(live, text, logprobs=True, n=2, temperature=1, seed=1).json()
    chunks = events(
        chat(
            live,
            text,
            logprobs=True,
            n=2,
            temperature=1,
            seed=1,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]} and chunks[0][
        "object"
    ] == "chat.completion.chunk"
    *parts, last = chunks
    assert last["choices"] == [] and last["usage"] == whole["usage"]
    assert all(chunk["usage"] is None for chunk in parts)
    for choice in whole["choices"]:
        own = [part for chunk in parts for part in chunk["choices"] if part["index"] == choice["index"]]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(part["delta"].get("content", "") for part in own) == choice["message"]["content"]
        assert [token for part in own if part["logprobs"] for token in part["logprobs"]["content"]] == choice[
            "logprobs"
        ]["content"]
        assert [part["finish_reason"] for part in own] == [None] * (len(own) - 1) + ["stop"]


def test_a_stop_string_never_shows_in_a_stream(live: Any) -> None:
    chunks = events(chat(live, "one END two", stop="END", stream=True))
    text = "".join(part["delta"].get("content", "") for chunk in chunks for part in chunk["choices"])
    assert text == "one " and "usage" not in chunks[0]


def test_log_probabilities(live: Any) -> None:
    answer = chat(live, "añ", logprobs=True, top_logprobs=0).json()
    assert answer["choices"][0]["logprobs"]["content"] == [
        {"token": "a", "bytes": [97], "logprob": -0.125, "top_logprobs": []},
        {"token": "ñ", "bytes": [195, 177], "logprob": -0.25, "top_logprobs": []},
    ]


def test_citations_of_a_grounded_path(live: Any) -> None:
    expected = [
        {
            "chunk_id": "c7",
            "document_id": "d1",
            "text": "The gate opens at nine.",
            "score": 1.5,
            "start": 10,
            "end": 33,
            "title": "Hours",
        },
        {"chunk_id": "c9", "document_id": "d2", "text": "…", "score": 0.5, "start": 0, "end": 0, "title": ""},
    ]
    message = chat(live, "when?", model="grounded").json()["choices"][0]["message"]
    assert message["sartor"]["passages"] == expected and message["sartor"]["removed"] == []
    last = events(chat(live, "when?", model="grounded", stream=True))[-1]["choices"][0]
    assert last["finish_reason"] == "stop" and last["delta"]["sartor"] == message["sartor"]


def test_our_own_answers_can_be_sent_back(live: Any) -> None:
    message = chat(live, "when?", model="grounded").json()["choices"][0]["message"]
    messages = [
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": "when?"},
        message,
        {"role": "user", "content": [{"type": "text", "text": "sure"}, {"type": "text", "text": "?"}]},
    ]
    answer = chat(live, messages=messages).json()
    assert answer["choices"][0]["message"]["content"] == "sure?"
    assert answer["usage"]["prompt_tokens"] == len(
        "system: be kind\nuser: when?\nassistant: when?\nuser: sure?"
    )


def test_models(live: Any) -> None:
    listed = httpx.get(f"{live.url}/v1/models").json()
    assert [model["id"] for model in listed["data"]] == ["echo", "grounded"] and listed["object"] == "list"
    assert httpx.get(f"{live.url}/v1/models/echo").json() == listed["data"][0]
    assert listed["data"][0]["created"] == 7
    missing = httpx.get(f"{live.url}/v1/models/a/b")
    assert missing.status_code == 404 and missing.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("stream", [False, True])
def test_what_does_not_fit_is_refused_and_never_cut(live: Any, stream: bool) -> None:
    long = "x" * (200 - len("user: "))
    for response in (chat(live, long, stream=stream), chat(live, "hi", max_tokens=193, stream=stream)):
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "context_length_exceeded"
        assert "200" in response.json()["error"]["message"]
    assert live.engine.samplings == []
    assert chat(live, "hi", max_tokens=192).status_code == 200
    assert chat(live, long[:-1]).json()["choices"][0]["finish_reason"] == "length"
    assert live.engine.samplings[-1].max_new_tokens == 1


def test_errors_name_what_is_wrong(live: Any) -> None:
    unknown = chat(live, model="ecoh")
    assert unknown.status_code == 404
    assert unknown.json()["error"] == {
        "message": "there is no model 'ecoh'; did you mean 'echo'?",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    wrong = chat(live, temperatur=0.3).json()["error"]
    assert wrong["param"] == "temperatur" and "did you mean temperature" in wrong["message"]
    for content, words in (("UNRENDERABLE", "no place"), ("REFUSE", "does not take")):
        refused = chat(live, content)
        assert refused.status_code == 400 and words in refused.json()["error"]["message"]


@pytest.mark.parametrize("content", ["PREPARE-FAILS", "ADD-FAILS"])
def test_bugs_are_logged_and_not_told(
    live: Any, content: str, caplog: pytest.LogCaptureFixture, eventually: Any
) -> None:
    response = chat(live, content)
    assert response.status_code == 500 and response.json()["error"]["type"] == "server_error"
    assert "secret" not in response.text
    eventually(lambda: "a secret of the machine" in caplog.text)
    assert chat(live).status_code == 200


def test_bodies_that_are_no_requests(live: Any) -> None:
    bodies = [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"model": "echo", "model": "echo"}',
        b'{"seed": ' + b"9" * 5000 + b"}",
    ]
    asked = [(body, "application/json; charset=utf-8", 400) for body in bodies]
    asked += [(b"{}", kind, 415) for kind in ("", "text/plain", "multipart/form-data", "application/jsonx")]
    with httpx.Client() as client:
        for body, kind, status in asked:
            response = client.post(
                f"{live.url}/v1/chat/completions", content=body, headers={"content-type": kind}
            )
            assert response.status_code == status and response.json()["error"]["message"]


def test_a_body_that_is_too_large_is_not_read_to_its_end(start: Any) -> None:
    live = start(max_body_bytes=10_000)
    sent = 0

    def pieces() -> Any:
        nonlocal sent
        for _ in range(10_000):
            sent += 10_000
            yield b" " * 10_000

    try:
        response = httpx.post(
            f"{live.url}/v1/chat/completions",
            content=pieces(),
            headers={"content-type": "application/json"},
            timeout=30,
        )
        assert response.status_code == 413
    except httpx.WriteError:
        pass  # the server hung up before all was sent
    assert sent < 100_000_000
    declared = httpx.post(
        f"{live.url}/v1/chat/completions", content=b" " * 10_001, headers={"content-type": "application/json"}
    )
    assert declared.status_code == 413 and declared.json()["error"]["code"] == "request_too_large"


def test_other_routes_and_methods(live: Any) -> None:
    asked = [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/health", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/v1/models/", 404),
        ("OPTIONS", "/v1/models", 405),
    ]
    for method, path, status in asked:
        response = httpx.request(method, live.url + path)
        assert response.status_code == status and response.json()["error"]["type"] == "invalid_request_error"
        assert not [name for name in response.headers if name.startswith("access-control")]
