"""The OpenAPI document of the server, made from the very models that requests are checked with."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from sartor import __version__
from sartor.serving.schema import RequestBody
from sartor.serving.schema_answers import ErrorBody
from sartor.serving.schema_chat import ChatMessage

REFERENCE = "#/components/schemas/"
ERRORS = {
    400: "a parameter is wrong, unknown or cannot be served; `param` names it",
    401: "no key or a wrong one",
    404: "there is no such model",
    405: "another method",
    413: "the body is too large",
    415: "the body is not declared as JSON",
    421: "a foreign Host header",
    429: "too much is under way; Retry-After says when to come back",
    500: "the engine failed",
    503: "the engine is gone",
}
ERRORS_OF_GET = (401, 404, 405, 421)


@dataclass(frozen=True)
class Endpoint:
    """A route: `path` in the form of OpenAPI, what it takes and gives. `streams`: server-sent events if asked for."""

    method: str
    path: str
    handle: Callable[..., Any]
    summary: str
    answer: type[BaseModel] | None
    request: type[RequestBody] | None = None
    streams: bool = False
    open: bool = False

    @property
    def has_model_in_path(self) -> bool:
        return "{model_id}" in self.path


def describe(endpoints: Iterable[Endpoint], model_ids: Sequence[str], has_key: bool) -> dict[str, Any]:
    """The document, version 3.1, with the ids that are served in it."""
    endpoints = list(endpoints)
    schemas = _schemas(endpoints, model_ids)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, model_ids)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Sartor", "version": __version__, "description": f"Served: {', '.join(model_ids)}."},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if has_key:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document


def _operation(endpoint: Endpoint, model_ids: Sequence[str]) -> dict[str, Any]:
    errors = ERRORS if endpoint.request is not None else {code: ERRORS[code] for code in ERRORS_OF_GET}
    if endpoint.open:
        errors = {405: ERRORS[405], 421: ERRORS[421], 503: "requests cannot be served; `status` says why"}
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": endpoint.handle.__name__,
        "responses": {"200": _success(endpoint)} | {str(code): _error(errors[code]) for code in errors},
    }
    if endpoint.open:
        operation["security"] = []
        operation["responses"]["503"] = _success(endpoint) | {"description": errors[503]}
    if endpoint.request is not None:
        content = {"application/json": {"schema": _reference(endpoint.request)}}
        operation["requestBody"] = {"required": True, "content": content}
    if endpoint.has_model_in_path:
        schema = {"type": "string", "examples": list(model_ids)}
        operation["parameters"] = [{"name": "model_id", "in": "path", "required": True, "schema": schema}]
    return operation


def _success(endpoint: Endpoint) -> dict[str, Any]:
    schema = _reference(endpoint.answer) if endpoint.answer is not None else {"type": "object"}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if endpoint.streams:
        content["text/event-stream"] = {}
    return {"description": endpoint.summary, "content": content}


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _reference(ErrorBody)}}}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCE + model.__name__}


def _schemas(endpoints: Sequence[Endpoint], model_ids: Sequence[str]) -> dict[str, Any]:
    requests = [endpoint.request for endpoint in endpoints if endpoint.request is not None]
    answers = [endpoint.answer for endpoint in endpoints if endpoint.answer is not None]
    made: dict[str, Any] = {}
    for models, mode in ((requests, "validation"), ([*answers, ErrorBody], "serialization")):
        _, found = models_json_schema([(model, mode) for model in models], ref_template=REFERENCE + "{model}")  # type: ignore[misc]
        made |= found["$defs"]
    for request in requests:
        properties = made[request.__name__]["properties"]
        if "model" in properties:
            properties["model"] = {"type": "string", "enum": list(model_ids)}
        _allow_null(made[request.__name__])
    if ChatMessage.__name__ in made:
        _allow_null(made[ChatMessage.__name__])
    return made


def _allow_null(schema: dict[str, Any]) -> None:
    """A parameter that is null was left out, wherever it may be left out."""
    for name, rule in schema["properties"].items():
        kinds = [each.get("type") for each in rule.get("anyOf", ())]
        if name not in schema.get("required", ()) and "null" not in kinds:
            schema["properties"][name] = {"anyOf": [rule, {"type": "null"}]}
