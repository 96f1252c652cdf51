"""The HTTP surface of served paths, in the form of the OpenAI API. docs/serving.md is the guide to it.

| route | method | key | answers |
|---|---|---|---|
| /health | GET | open | 200 {"status": "ok"}, 503 when requests cannot be served |
| /openapi.json | GET | needed | this surface as an OpenAPI document |
| /v1/models | GET | needed | the model ids |
| /v1/models/{id} | GET | needed | one of them; 404 model_not_found |
| /v1/chat/completions | POST | needed | a chat completion, or server-sent events with `stream: true` |
| /v1/completions | POST | needed | a text continued, by the bare model: no instruction, no template, no retrieval |
| /v1/embeddings | POST | needed | vectors of texts |
| /tokenize, /detokenize | POST | needed | text or messages to token ids and back |
| /tokenizer_info | GET | needed | control tokens and chat template |

Errors: 400 with the parameter's name (context_length_exceeded among them), 401, 404, 405, 413, 415, 421 for
a foreign Host, 429 with Retry-After when too much is under way, 500 when the engine failed, 503 when it is
gone; the body is `{"error": {"message", "type", "param", "code"}}`.
"""

from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sartor.base.errors import UsageError
from sartor.serving.auth import Guard
from sartor.serving.completion import Completion
from sartor.serving.completion_chat import ChatCompletion
from sartor.serving.completion_text import TextCompletion
from sartor.serving.embeddings import embed
from sartor.serving.errors import ApiError, Json
from sartor.serving.model_table import ModelTable
from sartor.serving.openapi import Endpoint, describe
from sartor.serving.scheduler import MAX_ANSWERS_UNDER_WAY, Scheduler
from sartor.serving.schema_answers import (
    ChatAnswer,
    DetokenizedText,
    EmbeddingAnswer,
    Health,
    ModelEntry,
    ModelList,
    TextAnswer,
    TokenizerInfo,
    Tokens,
)
from sartor.serving.schema_chat import ChatRequest
from sartor.serving.schema_completions import CompletionRequest
from sartor.serving.schema_embeddings import EmbeddingRequest
from sartor.serving.schema_tokens import DetokenizeRequest, TokenizeRequest
from sartor.serving.served_model import ServedModel
from sartor.serving.streaming import EventStream, while_connected
from sartor.serving.tokens import detokenize, tokenize, tokenizer_info

MAX_BODY_BYTES = 4 * 1024 * 1024  # about a million tokens of text: more than any served model reads
CLIENT_GONE = 499  # nobody is there to read it


def build_app(
    models: Sequence[ServedModel],
    key: str | None = None,
    loopback: bool = True,
    max_answers: int = MAX_ANSWERS_UNDER_WAY,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> Starlette:
    """The ASGI application. `loopback`: it is bound to this machine only, and refuses other names for it.

    UsageError when there is no model or two have one id.
    """
    served = {model.id: model for model in models}
    if not served or len(served) < len(models):
        raise UsageError(
            "there is nothing to serve" if not served else "two of the paths have the same id",
            hint="give run folders with different names",
        )
    scheduler = Scheduler(max_answers)
    routes = _Routes(ModelTable(served), scheduler, max_body_bytes, has_key=key is not None)
    app = Starlette(
        routes=[_route(endpoint) for endpoint in routes.endpoints],
        middleware=[Middleware(Guard, key=key, loopback=loopback)],
        exception_handlers={
            ApiError: _api_error,
            HTTPException: _http_error,
            ClientDisconnect: _client_gone,
            Exception: _bug,
        },
        lifespan=routes.lifespan,
    )
    app.router.redirect_slashes = False
    return app


def _route(endpoint: Endpoint) -> Route:
    path = endpoint.path.replace("{model_id}", "{model_id:path}")
    return Route(path, endpoint.handle, methods=[endpoint.method])


class _Routes:
    def __init__(self, models: ModelTable, scheduler: Scheduler, max_body_bytes: int, has_key: bool):
        self.models, self.scheduler, self.max_body_bytes = models, scheduler, max_body_bytes
        one = Endpoint  # the table reads better with a short name
        self.endpoints = [
            one("GET", "/health", self.health, "whether requests can be served", Health, open=True),
            one("GET", "/openapi.json", self.openapi, "this document", None),
            one("GET", "/v1/models", self.list_models, "the model ids", ModelList),
            one("GET", "/v1/models/{model_id}", self.show_model, "one model", ModelEntry),
            one("POST", "/v1/chat/completions", self.chat, "answer a conversation", ChatAnswer, ChatRequest, True),
            one("POST", "/v1/completions", self.complete, "continue a text", TextAnswer, CompletionRequest, True),
            one("POST", "/v1/embeddings", self.embed, "texts to vectors", EmbeddingAnswer, EmbeddingRequest),
            one("POST", "/tokenize", self.tokenize, "text to token ids", Tokens, TokenizeRequest),
            one("POST", "/detokenize", self.detokenize, "token ids to text", DetokenizedText, DetokenizeRequest),
            one("GET", "/tokenizer_info", self.tokenizer_info, "control tokens and chat template", TokenizerInfo),
        ]
        self._document = describe(self.endpoints, list(models), has_key)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.scheduler.start()
        yield
        await self.scheduler.close()

    async def health(self, request: Request) -> Response:
        problem = self.scheduler.problem
        return Json({"status": "ok"}) if problem is None else Json({"status": problem}, 503)

    async def openapi(self, request: Request) -> Response:
        return Json(self._document)

    async def list_models(self, request: Request) -> Response:
        return Json({"object": "list", "data": [self.models.describe(model_id) for model_id in self.models]})

    async def show_model(self, request: Request) -> Response:
        return Json(self.models.describe(request.path_params["model_id"]))

    async def chat(self, request: Request) -> ASGIApp:
        asked = ChatRequest.parse(await self._body(request))
        model = self.models.that_answers(asked.model)
        texts = self.models.token_texts(model)
        completion = ChatCompletion(self.scheduler, model, asked, texts, client_of(request))
        return await _answer(request, completion, asked.stream)

    async def complete(self, request: Request) -> ASGIApp:
        asked = CompletionRequest.parse(await self._body(request))
        model = self.models.that_continues(asked.model)
        texts = self.models.token_texts(model)
        completion = TextCompletion(self.scheduler, model, asked, texts, client_of(request))
        return await _answer(request, completion, asked.stream)

    async def embed(self, request: Request) -> Response:
        asked = EmbeddingRequest.parse(await self._body(request))
        work = embed(self.scheduler, self.models.that_embeds(asked.model), asked, client_of(request))
        return Json(await while_connected(request.receive, work))

    async def tokenize(self, request: Request) -> Response:
        asked = TokenizeRequest.parse(await self._body(request))
        work = tokenize(self.scheduler, self.models.that_tokenizes(asked.model), asked, client_of(request))
        return Json(await while_connected(request.receive, work))

    async def detokenize(self, request: Request) -> Response:
        asked = DetokenizeRequest.parse(await self._body(request))
        work = detokenize(self.scheduler, self.models.that_tokenizes(asked.model), asked, client_of(request))
        return Json(await while_connected(request.receive, work))

    async def tokenizer_info(self, request: Request) -> Response:
        return Json(tokenizer_info(self.models.that_tokenizes(request.query_params.get("model"))))

    async def _body(self, request: Request) -> bytes:
        return await read_json_body(request, self.max_body_bytes)


async def _answer(request: Request, completion: Completion, stream: bool) -> ASGIApp:
    """Open it, and give it whole or as events; it is closed in every case."""
    try:
        await while_connected(request.receive, completion.open())
        if stream:
            return EventStream(completion.chunks(), completion.close)
        answer = Json(await while_connected(request.receive, completion.collect()))
    except BaseException:
        completion.close()
        raise
    completion.close()
    return answer


def client_of(request: Request) -> Hashable:
    """Whose turn a request takes. All callers have one key, so it is the address that it comes from."""
    return request.client.host if request.client is not None else ""


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
            headers = {"Connection": "close"}
            message = f"the body is larger than {max_bytes:,} bytes"
            raise ApiError(413, message, code="request_too_large", headers=headers)
    return bytes(body)


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
