"""`/v1/embeddings` with a tiny embedding model."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.serving.tiny_server import TinyServer, tiny_server

TEXTS = ["where is the red ship", "north harbour", "captain"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyServer]:
    with tiny_server(tmp_path_factory.mktemp("tiny")) as made:
        yield made


def embed(server: TinyServer, **options: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/embeddings", json={"model": "vectors"} | options, timeout=30)


def test_vectors_are_those_of_the_embedder_in_both_forms(server: TinyServer) -> None:
    expected = server.embedder.embed(TEXTS)
    answer = embed(server, input=TEXTS).json()
    assert np.array_equal(np.array([item["embedding"] for item in answer["data"]], np.float32), expected)
    assert [item["index"] for item in answer["data"]] == [0, 1, 2] and answer["model"] == "vectors"
    packed = embed(server, input=TEXTS, encoding_format="base64").json()["data"]
    vectors = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in packed]
    assert np.array_equal(np.array(vectors), expected)
    tokens = sum(map(server.embedder.count_tokens, TEXTS))
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    one = embed(server, input=TEXTS[0]).json()["data"]
    assert len(one) == 1 and np.allclose(one[0]["embedding"], expected[0], atol=1e-6)


def test_many_texts_keep_their_order(server: TinyServer) -> None:
    texts = [" ".join(["ship"] * (1 + number % 40)) for number in range(100)]
    answer = embed(server, input=texts).json()
    vectors = np.array([item["embedding"] for item in answer["data"]], np.float32)
    assert np.allclose(vectors, server.embedder.embed(texts), atol=1e-5)


def test_a_text_that_is_too_long_is_refused_and_never_cut(server: TinyServer) -> None:
    fits = "ship " * (server.embedder.max_tokens - 2)
    assert embed(server, input=["captain", fits]).status_code == 200
    response = embed(server, input=["captain", fits + "ship"])
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input") and "text 1" in error["message"]
    assert server.embedder.truncated == 0


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": [[1, 2]]}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "dimensions": 16}, "dimensions"),
        ({"input": "a", "model": "tiny"}, "model"),
        ({"input": "a", "inputs": "b"}, "inputs"),
    ],
)
def test_refusals_name_the_parameter(server: TinyServer, options: dict[str, Any], param: str) -> None:
    response = embed(server, **options)
    assert response.status_code == 400 and response.json()["error"]["param"] == param


def test_an_embedding_model_is_listed_and_does_not_answer(server: TinyServer) -> None:
    listed = httpx.get(f"{server.url}/v1/models").json()["data"]
    assert [(model["id"], model["kind"]) for model in listed] == [
        ("tiny", "chat"),
        ("rag", "chat"),
        ("vectors", "embedding"),
    ]
    body = {"model": "vectors", "messages": [{"role": "user", "content": "hi"}]}
    refused = httpx.post(f"{server.url}/v1/chat/completions", json=body)
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "model"
