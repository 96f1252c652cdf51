"""The OpenAPI document is that of the very application, and says what the request models say."""

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from tests.serving.tiny_server import TinyServer, tiny_server

KEY = "correct-horse-0123456789"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyServer]:
    with tiny_server(tmp_path_factory.mktemp("tiny"), KEY) as made:
        yield made


@pytest.fixture(scope="module")
def document(server: TinyServer) -> dict[str, Any]:
    response = httpx.get(f"{server.url}/openapi.json", headers={"Authorization": f"Bearer {KEY}"})
    found: dict[str, Any] = response.json()
    return found


def test_it_holds_every_route_and_no_other(server: TinyServer, document: dict[str, Any]) -> None:
    described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    served = {
        (route.path.replace(":path", ""), method) for route in server.app.routes for method in route.methods - {"HEAD"}
    }
    assert described == served and len(served) == 10
    keyless = [path for path, methods in document["paths"].items() if methods.get("get", {}).get("security") == []]
    assert document["security"] == [{"key": []}] and keyless == ["/health"]


@pytest.mark.parametrize(
    ("values", "right"),
    [
        ({}, True),
        ({"temperature": None, "tools": None}, True),
        ({"stop": "x", "logit_bias": {"5": 1}}, True),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, True),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, True),
        ({"temperature": 3}, False),
        ({"temperatur": 1}, False),
        ({"n": 9}, False),
        ({"logit_bias": {"x": 1}}, False),
        ({"model": "other"}, False),
        ({"messages": [{"role": "robot", "content": "hi"}]}, False),
    ],
)
def test_the_schema_of_a_chat_request(document: dict[str, Any], values: dict[str, Any], right: bool) -> None:
    schema = {"$ref": "#/components/schemas/ChatRequest", "components": document["components"]}
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]} | values
    assert jsonschema.Draft202012Validator(schema).is_valid(body) is right
