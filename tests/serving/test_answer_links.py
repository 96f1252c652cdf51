"""An answer that is read from passages leaves the server without addresses that no source holds."""

import json
from typing import Any

import httpx
import pytest

from sartor.retrieval.links import LinkFilter
from sartor.serving import completion_chat
from sartor.serving.json_links import JsonLinkFilter

ANSWER = "https://good.example, https://evil.example/1 ![x](//evil.x/2)"
JSON = r'''{"https://own.example/x": "https://good.example", "b": "a \u0068ttps://evil.example/1 \"!\"", "n": 1.50}'''
SCHEMA = {"type": "object", "properties": {"https://own.example/x": {"type": "string"}, "b": {}}}
FORM = {"type": "json_schema", "json_schema": {"name": "form", "schema": SCHEMA}}


def says(live: Any, monkeypatch: pytest.MonkeyPatch, answer: str) -> Any:
    """The server, whose model says this now, whatever it is asked."""
    add = live.engine._add
    monkeypatch.setattr(live.engine, "_add", lambda text, sampling: add(f"user: {answer}", sampling))
    return live


@pytest.fixture
def leaking(live: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    return says(live, monkeypatch, ANSWER)


@pytest.fixture
def leaking_json(live: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What it says is JSON by itself, since this engine knows no constraints."""

    async def none(*_: Any) -> None:
        return None

    monkeypatch.setattr(completion_chat, "constraint_maker", none)
    return says(live, monkeypatch, JSON)


def post(live: Any, model: str, **options: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "What of https://good.example?"}], **options}
    response = httpx.post(f"{live.url}/v1/chat/completions", json=body, timeout=30)
    assert response.status_code == 200, response.text
    return response


def test_a_grounded_answer_holds_no_foreign_address(leaking: Any) -> None:
    message = post(leaking, "grounded").json()["choices"][0]["message"]
    assert message["content"] == "https://good.example, ‹link removed› [x] ‹link removed›"
    assert message["sartor"]["removed"] == ["https://evil.example/1", "a picture's mark", "//evil.x/2"]


def streamed(live: Any, **options: Any) -> tuple[str, dict[str, Any]]:
    """The text, and the last choice."""
    text, last = "", {}
    for line in post(live, "grounded", stream=True, **options).text.splitlines():
        if line.startswith("data: {"):
            last = json.loads(line.removeprefix("data: "))["choices"][0]
            text += last["delta"].get("content", "")
    return text, last


def test_a_stream_says_the_same(leaking: Any) -> None:
    whole = post(leaking, "grounded").json()["choices"][0]["message"]
    text, last = streamed(leaking)
    assert text == whole["content"] and last["delta"]["sartor"] == whole["sartor"]


def test_an_answer_in_json_stays_json_whose_strings_hold_no_foreign_address(leaking_json: Any) -> None:
    asked: dict[str, Any] = {"response_format": FORM, "max_tokens": 150}
    message = post(leaking_json, "grounded", **asked).json()["choices"][0]["message"]
    wanted = JSON.replace(r"\u0068ttps://evil.example/1", "‹link removed›")
    assert message["content"] == wanted and json.loads(wanted)["b"] == 'a ‹link removed› "!"'
    assert message["sartor"]["removed"] == ["https://evil.example/1"]
    text, last = streamed(leaking_json, **asked)
    assert text == wanted and last["delta"]["sartor"] == message["sartor"]
    cut = post(leaking_json, "grounded", response_format={"type": "json_object"}, max_tokens=85).json()["choices"][0]
    assert cut["finish_reason"] == "length"
    assert cut["message"]["content"] == '{"‹link removed›": "https://good.example", "b": "a ‹link removed›'


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
def test_json_comes_out_the_same_however_it_is_cut_and_what_the_schema_says_is_left_alone(piece: int) -> None:
    text = r'[ "![own](x)", 1e999, "\\\"[x](//evil)", {"a\n": "\ud83d"}, "" ]'
    links = JsonLinkFilter(LinkFilter([]), {"enum": ["![own](x)"]})
    parts = [links.push(text[at : at + piece]) for at in range(0, len(text), piece)]
    assert "".join(parts) + links.finish() == text.replace(r'\\\"[x](//evil)', r'\\\"[x] ‹link removed›')
    assert links.removed == ["//evil"]


def test_a_path_without_passages_is_left_alone(leaking: Any) -> None:
    assert post(leaking, "echo").json()["choices"][0]["message"]["content"] == ANSWER
