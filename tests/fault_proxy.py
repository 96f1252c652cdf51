"""A proxy on this machine in front of a real service, which breaks the answers that it is told to break."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

UPSTREAM_SECONDS = 120
RETRY_AFTER = "1"


class Fault(StrEnum):
    """NONE: passed on. BUSY: 429 with Retry-After. BROKEN: 500. CUT: the service answers, and the connection ends in
    the middle of the answer's body. HELD: never answered, until `Proxy.let_go`; then dropped."""

    NONE = "none"
    BUSY = "busy"
    BROKEN = "broken"
    CUT = "cut"
    HELD = "held"


Plan = Callable[[int, str, int], Fault]


@dataclass
class Proxy:
    """`plan(number, body, attempt)` decides on the request with that number, which asks this body for the `attempt`th
    time; both count from 1. For each body that was asked, `asked` counts the requests, `answered` the whole answers
    that were sent back (`answers` holds the last), and `bytes_received` the bytes of request lines, headers and bodies
    as they came in. `under_way` requests are neither done with nor held."""

    upstream: str  # host:port
    plan: Plan
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Any] = field(default_factory=dict)
    faults: Counter[Fault] = field(default_factory=Counter)
    bytes_received: Counter[str] = field(default_factory=Counter)
    released: threading.Event = field(default_factory=threading.Event)
    under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def let_go(self) -> None:
        """End every connection that is held, and hold none from now on."""
        self.released.set()

    def take(self, body: str, num_bytes: int) -> Fault:
        with self.lock:
            self.asked[body] += 1
            self.bytes_received[body] += num_bytes
            fault = self.plan(self.asked.total(), body, self.asked[body])
            self.faults[fault] += 1
            self.under_way += fault != Fault.HELD
            return fault

    def done(self, fault: Fault) -> None:
        with self.lock:
            self.under_way -= fault != Fault.HELD

    def forward(self, path: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.upstream, timeout=UPSTREAM_SECONDS)
        try:
            connection.request("POST", path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@contextmanager
def faulty(upstream: str, plan: Plan) -> Iterator[Proxy]:
    """A running proxy in front of `upstream` (host:port), to be used as its `url`."""
    proxy = Proxy(upstream, plan)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            head = len(self.requestline) + 2 + sum(len(f"{name}: {value}\r\n") for name, value in self.headers.items())
            fault = proxy.take(canonical(body), head + 2 + len(body))
            try:
                self._perform(fault, body)
            finally:
                proxy.done(fault)

        def _perform(self, fault: Fault, body: bytes) -> None:
            if fault == Fault.BUSY:
                self._send(429, b'{"error": {"message": "too many requests"}}', {"retry-after": RETRY_AFTER})
            elif fault == Fault.BROKEN:
                self._send(500, b'{"error": {"message": "something broke"}}')
            elif fault == Fault.HELD:
                proxy.released.wait(UPSTREAM_SECONDS)
                self.close_connection = True
            else:
                self._pass_on(body, fault)

        def _pass_on(self, body: bytes, fault: Fault) -> None:
            status, answer = proxy.forward(self.path, body)
            if fault == Fault.CUT:
                self._send(status, answer[: len(answer) // 2], announced=len(answer))
                self.close_connection = True
                return
            self._send(status, answer)
            if status == 200:
                with proxy.lock:
                    proxy.answered[canonical(body)] += 1
                    proxy.answers[canonical(body)] = json.loads(answer)

        def _send(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, announced: int | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body) if announced is None else announced))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True  # the client has gone

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.let_go()
        server.shutdown()
        server.server_close()
        thread.join(10)


def canonical(body: bytes | str) -> str:
    """The body as it is counted: JSON with its names in order."""
    return json.dumps(json.loads(body), sort_keys=True)
