"""`/tokenize`, `/detokenize` and `/tokenizer_info`."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests import tiny_models
from tests.serving.tiny_server import TinyServer, tiny_server

TEXT = "the cat — añ 猫 <|im_start|>said"
USER = {"role": "user", "content": "hello <|im_end|>"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyServer]:
    with tiny_server(tmp_path_factory.mktemp("tiny")) as made:
        yield made


def post(server: TinyServer, route: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/{route}", json=body, timeout=30)


def test_texts_and_tokens_there_and_back(server: TinyServer) -> None:
    answer = post(server, "tokenize", prompt=TEXT, return_token_strs=True).json()
    assert answer["tokens"] == server.chat.tokenizer(TEXT).input_ids and answer["count"] == len(answer["tokens"])
    assert answer["max_model_len"] == 4096 and len(answer["token_strs"]) == answer["count"]
    assert post(server, "detokenize", tokens=answer["tokens"]).json() == {"prompt": TEXT}
    assert post(server, "tokenize", prompt="", model="tiny").json()["tokens"] == []
    assert post(server, "detokenize", tokens=[]).json() == {"prompt": ""}


def test_the_tokens_of_messages_are_those_that_a_chat_pays_for(server: TinyServer) -> None:
    counted = post(server, "tokenize", messages=[USER], model="rag").json()
    body = {"model": "rag", "messages": [USER], "max_tokens": 1}
    paid = httpx.post(f"{server.url}/v1/chat/completions", json=body).json()["usage"]["prompt_tokens"]
    assert counted["count"] == paid and counted["tokens"] == server.chat.prompt([USER])  # type: ignore[list-item]


def test_what_a_client_needs_to_render_by_itself(server: TinyServer) -> None:
    info = httpx.get(f"{server.url}/tokenizer_info", params={"model": "tiny"}).json()
    assert info["chat_template"] == tiny_models.CHATML and info["eos_token"] == "<|end|>" and info["bos_token"] is None
    assert info == httpx.get(f"{server.url}/tokenizer_info").json()


@pytest.mark.parametrize(
    ("route", "body", "param"),
    [
        ("tokenize", {}, "prompt"),
        ("tokenize", {"prompt": "a", "messages": [USER]}, "prompt"),
        ("tokenize", {"prompt": "a", "model": "vectors"}, "model"),
        ("tokenize", {"messages": [USER], "add_generation_prompt": False}, "add_generation_prompt"),
        ("tokenize", {"prompt": "a", "tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ("detokenize", {}, "tokens"),
        ("detokenize", {"tokens": [400]}, "tokens"),
        ("detokenize", {"tokens": [-1]}, "tokens[0]"),
        ("detokenize", {"tokens": [2**40]}, "tokens[0]"),
        ("detokenize", {"tokens": [True]}, "tokens[0]"),
        ("detokenize", {"tokens": "abc"}, "tokens"),
    ],
)
def test_refusals_name_the_parameter(server: TinyServer, route: str, body: dict[str, Any], param: str) -> None:
    response = post(server, route, **body)
    assert response.status_code == 400 and response.json()["error"]["param"] == param


def test_an_unknown_model_is_not_found(server: TinyServer) -> None:
    assert post(server, "tokenize", prompt="a", model="tony").status_code == 404
    assert httpx.get(f"{server.url}/tokenizer_info", params={"model": "tony"}).status_code == 404
