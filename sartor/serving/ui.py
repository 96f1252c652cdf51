"""`sartor ui`: chat, runs, choices and documents as pages in a browser, over the same API as `sartor serve`.

| route | method | answers |
|---|---|---|
| /chat, /runs, /runs/show, /runs/compare, /choice, /documents, /documents/show | GET | a page |
| /login | GET, POST | where a browser gives the key, which it then keeps in a cookie that scripts cannot read |
| /report?run= | GET | the report of a run, in a sandbox |
| /static/… | GET | style and scripts |
| /ui/models, /ui/runs, /ui/run, /ui/metrics, /ui/choice, /ui/documents, /ui/document, /ui/search | GET | data |
| /ui/models/load, /ui/documents | POST | models opened, a file added |
| /ui/document | DELETE | a document removed |
| /health, /v1/… and the rest | | the API (app.py) |

Pages hold no data: their scripts fetch it as JSON and put it in as text. Every page has a policy that allows our own
static files and nothing else.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from sartor.base.errors import SartorError
from sartor.serving.app import read_json_body
from sartor.serving.auth import KeyCheck
from sartor.serving.errors import ApiError, Json
from sartor.serving.safe_headers import SafeHeaders
from sartor.serving.ui_documents import DocumentRoutes, DocumentShelf
from sartor.serving.ui_guard import COOKIE, LOGIN, UiGuard, cookie_of
from sartor.serving.ui_models import ModelRoom, ModelRoutes, OpenedPath
from sartor.serving.ui_runs import RunRoutes, RunSource

PAGES = Path(__file__).parent / "pages"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
SECONDS_AFTER_WRONG_KEY = 0.5
MAX_LOGIN_BYTES = 8192


@dataclass(frozen=True)
class Ui:
    """What the pages show. `load_at_once`: the models were named by the person, so they are opened right away."""

    room: ModelRoom
    shelf: DocumentShelf
    runs: RunSource
    first_page: str = "/chat"
    load_at_once: bool = False


def build_ui(ui: Ui, key: str | None = None, loopback: bool = True) -> Starlette:
    """The ASGI application; `key` and `loopback` as in `build_app`."""
    login = _Login(key)
    models = ModelRoutes(ui.room, ui.shelf.number)
    runs, documents = RunRoutes(ui.runs), DocumentRoutes(ui.shelf)
    pages = _Pages()

    async def first(request: Request) -> Response:
        return RedirectResponse(ui.first_page, 303)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if ui.load_at_once:
            ui.room.load()
        yield
        await ui.room.close()
        ui.shelf.close()

    app = Starlette(
        routes=[
            Route("/", first, methods=["GET"]),
            *(Route(path, pages.page(name), methods=["GET"]) for path, name in _PAGE_NAMES.items()),
            Route(LOGIN, login.log_in, methods=["POST"]),
            Route("/static/{name}", pages.static, methods=["GET"]),
            Route("/report", runs.report, methods=["GET"]),
            Route("/ui/models", models.state, methods=["GET"]),
            Route("/ui/models/load", models.load, methods=["POST"]),
            Route("/ui/runs", runs.list_all, methods=["GET"]),
            Route("/ui/run", runs.show, methods=["GET"]),
            Route("/ui/metrics", runs.metrics, methods=["GET"]),
            Route("/ui/choice", runs.choice, methods=["GET"]),
            Route("/ui/documents", documents.list_all, methods=["GET"]),
            Route("/ui/documents", documents.add, methods=["POST"]),
            Route("/ui/document", documents.show, methods=["GET"]),
            Route("/ui/document", documents.remove, methods=["DELETE"]),
            Route("/ui/search", documents.search, methods=["GET"]),
            Mount("/", app=ui.room),
        ],
        middleware=[Middleware(SafeHeaders), Middleware(UiGuard, key=key, loopback=loopback)],
        exception_handlers={
            ApiError: _api_error,
            SartorError: _sartor_error,
            HTTPException: _http_error,
            ClientDisconnect: _client_gone,
            Exception: _bug,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def remember_knowledge(shelf: DocumentShelf) -> "_Remember":
    """For `ModelRoom.on_open`: documents that opened paths read can be looked at too."""
    return _Remember(shelf)


@dataclass(frozen=True)
class _Remember:
    shelf: DocumentShelf

    def __call__(self, opened: Sequence[OpenedPath]) -> None:
        self.shelf.also(each.knowledge for each in opened if each.knowledge is not None)


_PAGE_NAMES = {
    "/chat": "chat",
    "/runs": "runs",
    "/runs/show": "run",
    "/runs/compare": "compare",
    "/choice": "choice",
    "/documents": "documents",
    "/documents/show": "document",
    LOGIN: "login",
}


class _Pages:
    """Everything in the folder `pages`, read once: what is not there when the server starts cannot be asked for."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(PAGES), autoescape=True, trim_blocks=True, lstrip_blocks=True,
            undefined=StrictUndefined,
        )  # fmt: skip
        self._files = {file.name: file.read_bytes() for file in PAGES.iterdir() if file.suffix in MEDIA_TYPES}

    def page(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        section = {"run": "runs", "compare": "runs", "document": "documents"}.get(name, name)
        text = self._environment.get_template(f"{name}.html.jinja").render(name=name, section=section)
        content = text.encode()

        async def show(request: Request) -> Response:
            return Response(content, media_type="text/html", headers={"Content-Security-Policy": POLICY})

        return show

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files:
            raise ApiError(404, "there is no such file", code="not_found")
        return Response(self._files[name], media_type=MEDIA_TYPES[Path(name).suffix])


class _Login:
    def __init__(self, key: str | None):
        self._key, self._check = key, KeyCheck(key) if key is not None else None

    async def log_in(self, request: Request) -> Response:
        """{"key"} becomes the cookie; a wrong one is answered late, so that guessing takes for ever."""
        try:
            body = json.loads(await read_json_body(request, MAX_LOGIN_BYTES))
        except (ValueError, RecursionError):
            body = None
        given = body.get("key") if isinstance(body, dict) else None
        if not isinstance(given, str):
            raise ApiError(400, "the body should be an object with key", code="invalid_body")
        if self._key is None or self._check is None:
            return Json({"ok": True})
        if not self._check.right(given.encode("utf-8", "surrogatepass")):
            await asyncio.sleep(SECONDS_AFTER_WRONG_KEY)
            raise ApiError(401, "that is not the key", code="invalid_api_key")
        answer = Json({"ok": True})
        answer.set_cookie(COOKIE, cookie_of(self._key), httponly=True, samesite="strict", path="/")
        return answer


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _sartor_error(request: Request, error: Exception) -> Response:
    """What is wrong with a file or a folder, in the words that the command line would use."""
    assert isinstance(error, SartorError)
    message = f"{error.what}; {error.hint}" if error.hint else error.what
    return ApiError(400, message, code="invalid_value").response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return ApiError(error.status_code, error.detail, headers=dict(error.headers or {})).response()


async def _client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)


async def _bug(request: Request, error: Exception) -> Response:
    """The server's log gets the traceback, the page does not."""
    return ApiError(500, "the server failed; its log says why", code="internal_error").response()
