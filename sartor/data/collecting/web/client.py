"""One HTTP request: bounded in time and size, before and after unpacking."""

import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpcore2

from sartor.base.durable import format_bytes
from sartor.data.collecting.entry import Unreachable
from sartor.data.collecting.web.addresses import Resolver, system_resolver
from sartor.data.collecting.web.connection import CheckedBackend, NotPublic

ACCEPT = (
    "text/html,application/xhtml+xml,text/plain,text/markdown,application/pdf;q=0.9,application/xml;q=0.9,*/*;q=0.5"
)


@dataclass(frozen=True)
class Response:
    """An answer with its body unpacked; header names are in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """Makes GET requests to public addresses. Cookies are neither kept nor sent; proxies of the environment are not
    used, because then it would not be us who connect."""

    def __init__(
        self,
        user_agent: str,
        max_bytes: int,
        max_seconds: float,
        allow_private: bool = False,
        resolve: Resolver = system_resolver,
        backend: CheckedBackend | None = None,
    ):
        self.user_agent, self.max_bytes, self.max_seconds = user_agent, max_bytes, max_seconds
        self._backend = backend or CheckedBackend(resolve, allow_private)
        self._pool = httpcore2.ConnectionPool(
            network_backend=self._backend, max_connections=20, max_keepalive_connections=20, keepalive_expiry=30
        )

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Response:
        """The answer to one request; redirects are not followed. Unreachable when there is none within the limits."""
        self._backend.until = time.monotonic() + self.max_seconds
        always = {"User-Agent": self.user_agent, "Accept": ACCEPT, "Accept-Encoding": "gzip"}
        sent: list[tuple[bytes | str, bytes | str]] = [*always.items(), *(headers or {}).items()]
        try:
            with self._pool.stream("GET", url, headers=sent) as answer:
                received = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
                body = self._body(answer, received) if answer.status == 200 else b""
                return Response(url, answer.status, received, body)
        except NotPublic as error:
            raise Unreachable("address_not_public", str(error)) from None
        except httpcore2.TimeoutException:
            raise Unreachable("too_slow", f"no complete answer within {self.max_seconds:g} s", True) from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            raise Unreachable("no_connection", str(error) or type(error).__name__, True) from None
        except (httpcore2.UnsupportedProtocol, UnicodeError, ValueError) as error:
            raise Unreachable("not_a_web_address", str(error)) from None

    def close(self) -> None:
        self._pool.close()

    def _body(self, answer: Any, headers: Mapping[str, str]) -> bytes:
        stated = headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > self.max_bytes:
            raise _too_large(self.max_bytes)
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip"):
            raise Unreachable("unknown_encoding", f"the server packs its answer as {encoding[:40]}")
        packed = bounded(answer.stream, self.max_bytes)
        return b"".join(bounded(gunzip(packed), self.max_bytes) if "gzip" in encoding else packed)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def bounded(pieces: Iterable[bytes], max_bytes: int) -> Iterable[bytes]:
    """The same pieces; Unreachable as soon as they are more than `max_bytes`."""
    seen = 0
    for piece in pieces:
        seen += len(piece)
        if seen > max_bytes:
            raise _too_large(max_bytes)
        yield piece


def gunzip(pieces: Iterable[bytes], piece_bytes: int = 65_536) -> Iterable[bytes]:
    """Unpacked pieces of at most `piece_bytes`, however much a packed one holds. Unreachable for a damaged stream."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    begun = False
    try:
        for piece in pieces:
            while piece:
                if unpacker.eof:  # one member after another
                    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
                begun = True
                yield unpacker.decompress(piece, piece_bytes)
                piece = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
        while not unpacker.eof and (rest := unpacker.decompress(b"", piece_bytes)):
            yield rest
    except zlib.error as error:
        raise Unreachable("damaged", f"its gzip stream is damaged: {error}") from None
    if begun and not unpacker.eof:
        raise Unreachable("damaged", "its gzip stream ends early", True)


def _too_large(max_bytes: int) -> Unreachable:
    return Unreachable("too_large", f"more than {format_bytes(max_bytes)}")
