"""A page on this machine on which a person says which of two answers is better.

| route below /TOKEN/ | method | answers |
|---|---|---|
| (nothing) | GET | the page |
| state | GET | {"pair": … or null, "is_finished", "can_undo", "counts"} |
| judge | POST {"pair", "verdict"} | the state after it |
| undo | POST {} | the state after it |
| finish | POST {} | the state; then the server ends |

TOKEN is drawn anew for every server. Other Hosts get 421, other tokens 404, a POST from another origin 403 and one that
is not declared as JSON 415: no other web page can read or judge. What models wrote leaves as JSON and is put into
the page as text. Errors have the form of the server's API.
"""

import hmac
import html
import json
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sartor.base.errors import SartorError, UsageError
from sartor.data.records import Conversation
from sartor.reporting.page import page_bytes, render_page
from sartor.serving.app import read_json_body
from sartor.serving.auth import Guard
from sartor.serving.errors import ApiError, Json
from sartor.serving.safe_headers import SafeHeaders

HERE = Path(__file__).parent
MAX_BODY_BYTES = 4096  # an id and a word


class ShownPair(Protocol):
    """Two answers to `prompt`; `is_cut` says of each whether it ended at its greatest length."""

    @property
    def id(self) -> str: ...

    @property
    def prompt(self) -> Conversation: ...

    @property
    def left(self) -> str: ...

    @property
    def right(self) -> str: ...

    @property
    def is_cut(self) -> tuple[bool, bool]: ...


class Counts(Protocol):
    def as_dict(self) -> dict[str, int]: ...


class Sitting(Protocol):
    """What the page is the face of (`recipes.prefer.PreferenceSession` is one); used by the event loop's thread."""

    @property
    def counts(self) -> Counts: ...

    @property
    def is_finished(self) -> bool: ...

    @property
    def can_undo(self) -> bool: ...

    def next_pair(self, wait_seconds: float | None = None) -> ShownPair | None: ...

    def judge(self, pair_id: str, verdict: str) -> None: ...

    def undo(self) -> object: ...


def new_token() -> str:
    return secrets.token_urlsafe(24)


def build_prefer_app(sitting: Sitting, token: str, source: str, file: str, finish: Callable[[], None]) -> Starlette:
    """The ASGI application. `source` and `file` are shown as names of what is asked and where judgements go; `finish`
    is called when the person is done."""
    page = render_page(
        HERE / "prefer_page.html.jinja",
        {"script": (HERE / "prefer_page.js").read_text("utf-8"), "source": source, "file": file},
    )
    routes = _Routes(sitting, token, page, finish)
    app = Starlette(
        routes=[
            Route("/{token}/", routes.page, methods=["GET"]),
            Route("/{token}/state", routes.state, methods=["GET"]),
            Route("/{token}/judge", routes.judge, methods=["POST"]),
            Route("/{token}/undo", routes.undo, methods=["POST"]),
            Route("/{token}/finish", routes.finish, methods=["POST"]),
        ],
        middleware=[Middleware(SafeHeaders), Middleware(Guard, key=None, loopback=True)],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, SartorError: _sartor_error},
    )
    app.router.redirect_slashes = False
    return app


class _Routes:
    def __init__(self, sitting: Sitting, token: str, page: str, finish: Callable[[], None]):
        self._sitting, self._token, self._finish = sitting, token, finish
        self._page, self._policy = page_bytes(page), _policy_of(page)

    async def page(self, request: Request) -> Response:
        self._check(request)
        headers = {"Content-Security-Policy": self._policy}
        return Response(self._page, media_type="text/html", headers=headers)

    async def state(self, request: Request) -> Response:
        self._check(request)
        return self._state()

    async def judge(self, request: Request) -> Response:
        pair, verdict = await self._body(request, ("pair", "verdict"))
        self._sitting.judge(pair, verdict)
        return self._state()

    async def undo(self, request: Request) -> Response:
        await self._body(request, ())
        self._sitting.undo()
        return self._state()

    async def finish(self, request: Request) -> Response:
        await self._body(request, ())
        state = self._state()
        self._finish()
        return state

    def _state(self) -> Json:
        pair = self._sitting.next_pair(wait_seconds=0)
        return Json(
            {
                "pair": None if pair is None else _shown(pair),
                "is_finished": self._sitting.is_finished,
                "can_undo": self._sitting.can_undo,
                "counts": self._sitting.counts.as_dict(),
            }
        )

    def _check(self, request: Request) -> None:
        """ApiError 404 for a wrong token, as if there were nothing."""
        if not hmac.compare_digest(request.path_params["token"].encode("utf-8", "surrogatepass"), self._token.encode()):
            raise ApiError(404, "Not Found", code="not_found")

    async def _body(self, request: Request, names: Sequence[str]) -> list[str]:
        """The texts called `names`, of a POST that comes from the page itself."""
        self._check(request)
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        own = f"http://{request.headers['host']}"
        if origin not in (None, own) or site not in (None, "same-origin"):
            raise ApiError(403, "only the page itself may do this", code="wrong_origin")
        try:
            body = json.loads(await read_json_body(request, MAX_BODY_BYTES))
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in names):
            raise ApiError(
                400, f"the body should be an object with {', '.join(names) or 'nothing'}", code="invalid_body"
            )
        return [body[name] for name in names]


def _shown(pair: ShownPair) -> dict[str, Any]:
    left_is_cut, right_is_cut = pair.is_cut
    return {
        "id": pair.id,
        "prompt": pair.prompt,
        "left": pair.left,
        "right": pair.right,
        "left_is_cut": left_is_cut,
        "right_is_cut": right_is_cut,
    }


def _policy_of(page: str) -> str:
    """The page's own policy and what only a header can say."""
    written = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert written is not None, "every page has a policy"
    return f"{html.unescape(written[1])}; frame-ancestors 'none'"


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return ApiError(error.status_code, error.detail, headers=dict(error.headers or {})).response()


async def _sartor_error(request: Request, error: Exception) -> Response:
    """A stale pair is the page's mistake; anything else (a full disk, a service that refuses) the person reads."""
    assert isinstance(error, SartorError)
    message = f"{error.what}; {error.hint}" if error.hint else error.what
    return ApiError(409 if isinstance(error, UsageError) else 500, message).response()
