"""The HTTP surface of served paths, in the form of the OpenAI API.

| route | method | key | answers |
|---|---|---|---|
| /health | GET | open | 200 {"status": "ok"}, 503 when requests cannot be served |
| /v1/models | GET | needed | the model ids |
| /v1/models/{id} | GET | needed | one of them; 404 model_not_found |
| /v1/chat/completions | POST | needed | a chat completion, or server-sent events with `stream: true` |

Errors: 400 with the parameter's name (context_length_exceeded among them), 401, 404, 405, 413, 415, 421 for
a foreign Host, 429 with Retry-After when too much is under way, 500 when the engine failed, 503 when it is
gone; the body is `{"error": {"message", "type", "param", "code"}}`.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sartor.base.configuration import nearest
from sartor.base.errors import UsageError
from sartor.serving.auth import Guard
from sartor.serving.completion import Completion
from sartor.serving.errors import ApiError, Json
from sartor.serving.scheduler import MAX_ANSWERS_UNDER_WAY, Scheduler
from sartor.serving.schema import parse_chat_request
from sartor.serving.served_model import ServedModel
from sartor.serving.streaming import EventStream, while_connected

MAX_BODY_BYTES = 4 * 1024 * 1024  # about a million tokens of text: more than any served model reads
CLIENT_GONE = 499  # nobody is there to read it


def build_app(
    models: Sequence[ServedModel], key: str | None = None, loopback: bool = True,
    max_answers: int = MAX_ANSWERS_UNDER_WAY, max_body_bytes: int = MAX_BODY_BYTES,
) -> Starlette:
    """The ASGI application. `loopback`: it is bound to this machine only, and refuses other names for it.

    UsageError when there is no model or two have one id.
    """
    served = {model.id: model for model in models}
    if not served or len(served) < len(models):
        raise UsageError("there is nothing to serve" if not served else "two of the paths have the same id",
                         hint="give run folders with different names")
    routes = _Routes(served, Scheduler(max_answers), max_body_bytes)
    app = Starlette(
        routes=[
            Route("/health", routes.health, methods=["GET"]),
            Route("/v1/models", routes.list_models, methods=["GET"]),
            Route("/v1/models/{model_id:path}", routes.show_model, methods=["GET"]),
            Route("/v1/chat/completions", routes.chat, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, key=key, loopback=loopback)],
        exception_handlers={
            ApiError: _api_error, HTTPException: _http_error, ClientDisconnect: _client_gone, Exception: _bug,
        },
        lifespan=routes.lifespan,
    )
    app.router.redirect_slashes = False
    return app


class _Routes:
    def __init__(self, models: dict[str, ServedModel], scheduler: Scheduler, max_body_bytes: int):
        self.models, self.scheduler, self.max_body_bytes = models, scheduler, max_body_bytes

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.scheduler.start()
        yield
        await self.scheduler.close()

    async def health(self, request: Request) -> Response:
        problem = self.scheduler.problem
        return Json({"status": "ok"}) if problem is None else Json({"status": problem}, 503)

    async def list_models(self, request: Request) -> Response:
        return Json({"object": "list", "data": [_describe(model) for model in self.models.values()]})

    async def show_model(self, request: Request) -> Response:
        return Json(_describe(self._model(request.path_params["model_id"])))

    async def chat(self, request: Request) -> ASGIApp:
        asked = parse_chat_request(await read_json_body(request, self.max_body_bytes))
        completion = Completion(self.scheduler, self._model(asked.model), asked)
        try:
            await while_connected(request.receive, completion.open())
            if asked.stream:
                return EventStream(completion.chunks(), completion.close)
            answer = Json(await while_connected(request.receive, completion.collect()))
        except BaseException:
            completion.close()
            raise
        completion.close()
        return answer

    def _model(self, model_id: str) -> ServedModel:
        if model_id not in self.models:
            near = nearest(model_id, self.models) or next(iter(self.models))
            raise ApiError(404, f"there is no model {model_id!r}; did you mean {near!r}?", param="model",
                           code="model_not_found")
        return self.models[model_id]


async def read_json_body(request: Request, max_bytes: int) -> bytes:
    """The body, read to its end.

    ApiError 415 when it is not declared as JSON (browsers cannot send that across sites unasked), 413 when
    it is larger than `max_bytes`, whatever Content-Length says.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "send the body as Content-Type: application/json", code="unsupported_media_type")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise ApiError(413, f"the body is larger than {max_bytes:,} bytes", code="request_too_large",
                           headers={"Connection": "close"})
    return bytes(body)


def _describe(model: ServedModel) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": "sartor",
            "max_context_tokens": model.max_context_tokens}


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code)
    return ApiError(error.status_code, error.detail, code=code, headers=dict(error.headers or {})).response()


async def _client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


async def _bug(request: Request, error: Exception) -> Response:
    """The server's log gets the traceback, the client does not."""
    return ApiError(500, "the server failed; its log says why", code="internal_error").response()
