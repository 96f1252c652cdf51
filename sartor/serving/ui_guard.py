"""Who may use the pages: callers with the key, browsers that logged in with it, and only from pages of our own."""

import base64
import binascii

from starlette.datastructures import MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from sartor.serving.auth import OPEN_PATHS, Guard, header
from sartor.serving.errors import ApiError

COOKIE = "sartor_key"
LOGIN = "/login"
STATIC = "/static/"  # holds no data of anybody
READING = ("GET", "HEAD")


class UiGuard(Guard):
    """ASGI middleware: 421 for a foreign `Host` when `loopback`, 403 for a change that another site asks for, and
    without the right key the login page (to browsers that want a page) or 401.

    A right cookie becomes the header that the API behind it asks for.
    """

    def _refusal(self, scope: Scope) -> Response | None:
        if (wrong_host := self._wrong_host(scope)) is not None:
            return wrong_host
        if scope["method"] not in READING and not _is_own(scope):
            return ApiError(403, "only the pages themselves may do this", code="wrong_origin").response()
        path = scope["path"]
        if self._check is None or path in (*OPEN_PATHS, LOGIN) or path.startswith(STATIC):
            return None
        if self._check.bearer(scope):
            return None
        stored = _cookie_key(scope) if not _has(scope, b"authorization") else None
        if stored is not None and self._check.right(stored):
            MutableHeaders(scope=scope)["authorization"] = "Bearer " + stored.decode("latin-1")
            return None
        if scope["method"] in READING and b"text/html" in (header(scope, b"accept") or b""):
            return RedirectResponse(LOGIN, 303)
        return ApiError(
            401, "no key or a wrong one: log in, or send Authorization: Bearer KEY", code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        ).response()  # fmt: skip


def cookie_of(key: str) -> str:
    """The key as a cookie's value."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def _is_own(scope: Scope) -> bool:
    """Whether a change comes from a page of this server, or from no page at all. Browsers tell where from."""
    own = b"http://" + (header(scope, b"host") or b"")
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    sites = [value for name, value in scope["headers"] if name == b"sec-fetch-site"]
    return all(origin == own for origin in origins) and all(site in (b"same-origin", b"none") for site in sites)


def _cookie_key(scope: Scope) -> bytes | None:
    """The key in our cookie. Other programs on this host may have left cookies beside it, in any form."""
    cookies = cookie_parser((header(scope, b"cookie") or b"").decode("latin-1"))
    try:
        return base64.b64decode(cookies[COOKIE], altchars=b"-_", validate=True) if COOKIE in cookies else None
    except (binascii.Error, ValueError):
        return None


def _has(scope: Scope, name: bytes) -> bool:
    return any(key == name for key, _ in scope["headers"])
