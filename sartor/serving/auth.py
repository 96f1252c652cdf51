"""Who may ask: every route but `/health` needs the key, and a local server answers to local names only."""

import hashlib
import hmac
import ipaddress
import re

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sartor.base.errors import UsageError
from sartor.serving.errors import ApiError

OPEN_PATHS = ("/health",)


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine as seen from itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_binding(host: str, key: str | None) -> None:
    """UsageError unless only this machine can reach the address, or a usable key guards it."""
    if key is not None and not re.fullmatch(r"[!-~]+", key):
        raise UsageError(
            "the key is empty or holds what an HTTP header cannot carry",
            hint="a key is one line of ASCII without spaces",
        )
    if key is None and not is_loopback(host):
        raise UsageError(
            f"{host or 'an empty host'} can be reached from other machines, so a key is needed",
            hint="set SARTOR_API_KEY, or bind to 127.0.0.1",
        )


class Guard:
    """ASGI middleware: 401 without the right key, and 421 for a foreign `Host` when `loopback`.

    The latter stops web pages that point a name of their own at 127.0.0.1 (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, key: str | None, loopback: bool):
        self.app, self.loopback = app, loopback
        self._check = KeyCheck(key) if key is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """What is answered instead; None lets the request through."""
        if (wrong_host := self._wrong_host(scope)) is not None:
            return wrong_host
        if self._check is None or scope["path"] in OPEN_PATHS or self._check.bearer(scope):
            return None
        headers = {"WWW-Authenticate": "Bearer"}
        return ApiError(
            401, "no key or a wrong one: send Authorization: Bearer KEY", code="invalid_api_key", headers=headers
        ).response()

    def _wrong_host(self, scope: Scope) -> Response | None:
        """The refusal of a request to a local server under a foreign name."""
        if not self.loopback or is_loopback(host_name(header(scope, b"host"))):
            return None
        return ApiError(421, "this server answers to localhost only", code="wrong_host").response()


class KeyCheck:
    """Compares what callers send with the key, in a time that does not tell how much of it is right."""

    def __init__(self, key: str):
        self._digest = _digest(key.encode())

    def right(self, key: bytes) -> bool:
        return hmac.compare_digest(_digest(key), self._digest)

    def bearer(self, scope: Scope) -> bool:
        """Whether the request has `Authorization: Bearer` with the right key."""
        scheme, _, key = (header(scope, b"authorization") or b"").partition(b" ")
        return self.right(key.strip()) and scheme.lower() == b"bearer"


def _digest(key: bytes) -> bytes:
    """Of one length for every key, so that comparing takes as long for all."""
    return hashlib.sha256(key).digest()


def header(scope: Scope, name: bytes) -> bytes | None:
    """The header's value; None where it is missing or given more than once."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0] if len(values) == 1 else None


def host_name(host: bytes | None) -> str:
    """`localhost:8000` -> `localhost`, `[::1]:8000` -> `::1`, nothing for what is no host."""
    match = re.fullmatch(rb"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]*))(:[0-9]*)?", host or b"")
    return (match[1] or match[2]).decode("latin-1").lower() if match else ""
