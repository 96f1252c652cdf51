"""The network under the HTTP library: it connects to the very address that was checked, and no request outlives its
deadline."""

import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore2

from sartor.data.collecting.web.addresses import Resolver, is_public


class NotPublic(Exception):
    """A host with an address that is not public."""


class CheckedBackend(httpcore2.NetworkBackend):
    """Resolves a name once, refuses it (NotPublic) if any of its addresses is not public, unless that is allowed, and
    connects to the addresses it looked at.

    `until` (monotonic seconds) is the deadline of the request under way; what takes longer raises httpcore2.ReadTimeout
    or its like.
    """

    def __init__(self, resolve: Resolver, allow_private: bool, connect: Callable[..., Any] | None = None):
        self._resolve, self._allow_private = resolve, allow_private
        self._connect = connect or httpcore2.SyncBackend().connect_tcp
        self.until = float("inf")

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            addresses = self._resolve(host, port)
        except OSError as error:
            raise httpcore2.ConnectError(f"the name {host} has no address: {error}") from None
        if not addresses:
            raise httpcore2.ConnectError(f"the name {host} has no address")
        refused = [address for address in addresses if not is_public(address)]
        if refused and not self._allow_private:
            raise NotPublic(f"{host} has the address {refused[0]}, which is not public")
        for address in addresses[:-1]:
            try:
                return self._stream(address, port)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return self._stream(addresses[-1], port)

    def connect_unix_socket(self, path: str, timeout: Any = None, socket_options: Any = None) -> Any:
        raise NotPublic("sockets of this machine are not collected from")

    def left(self) -> float:
        """Seconds until the deadline; httpcore2.ReadTimeout when it has passed."""
        seconds = self.until - time.monotonic()
        if seconds <= 0:
            raise httpcore2.ReadTimeout("the time limit for one page has passed")
        return seconds

    def _stream(self, address: str, port: int) -> httpcore2.NetworkStream:
        return _TimedStream(self._connect(address, port, timeout=self.left()), self)


class _TimedStream(httpcore2.NetworkStream):
    """A connection whose every wait ends at the backend's deadline, however slowly the other side drips."""

    def __init__(self, inner: httpcore2.NetworkStream, backend: CheckedBackend):
        self._inner, self._backend = inner, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._backend.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._backend.left())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        secured = self._inner.start_tls(ssl_context, server_hostname, self._backend.left())
        return _TimedStream(secured, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
