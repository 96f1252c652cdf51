"""An answer that is read from passages leaves the server without addresses that no source holds."""

import json
from typing import Any

import httpx
import pytest

ANSWER = "https://good.example, https://evil.example/1 ![x](//evil.x/2)"


@pytest.fixture
def leaking(live: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server whose model says ANSWER, whatever it is asked."""
    add = live.engine._add
    monkeypatch.setattr(live.engine, "_add", lambda text, sampling: add(f"user: {ANSWER}", sampling))
    return live


def post(live: Any, model: str, **options: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "What of https://good.example?"}], **options}
    response = httpx.post(f"{live.url}/v1/chat/completions", json=body, timeout=30)
    assert response.status_code == 200, response.text
    return response


def test_a_grounded_answer_holds_no_foreign_address(leaking: Any) -> None:
    message = post(leaking, "grounded").json()["choices"][0]["message"]
    assert message["content"] == "https://good.example, ‹link removed› [x] ‹link removed›"
    assert message["sartor"]["removed"] == ["https://evil.example/1", "a picture's mark", "//evil.x/2"]


def test_a_stream_says_the_same(leaking: Any) -> None:
    whole = post(leaking, "grounded").json()["choices"][0]["message"]
    text, last = "", {}
    for line in post(leaking, "grounded", stream=True).text.splitlines():
        if line.startswith("data: {"):
            last = json.loads(line.removeprefix("data: "))["choices"][0]
            text += last["delta"].get("content", "")
    assert text == whole["content"] and last["delta"]["sartor"] == whole["sartor"]


def test_a_path_without_passages_is_left_alone(leaking: Any) -> None:
    assert post(leaking, "echo").json()["choices"][0]["message"]["content"] == ANSWER
