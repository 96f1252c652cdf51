"""A real HTTP service on this machine that misbehaves as it is told to."""

import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = dict[str, Any]


def completion(text: str, finish: str = "stop", prompt_tokens: int = 10, completion_tokens: int = 5) -> Answer:
    message = {"role": "assistant", "content": text}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


@dataclass
class Act:
    """What to do with one request."""

    status: int = 200
    body: Answer | bytes | None = None  # None: an answer that echoes the question
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    cut: bool = False  # announce more bytes than are sent, then close
    seconds: float = 0.0
    after: threading.Event | None = None  # answer only when this has happened


def failure(status: int, message: str, code: str | None = None, param: str | None = None, **headers: str) -> Act:
    body = {"error": {"message": message, "type": "x", "code": code, "param": param}}
    return Act(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class Service:
    """`plan(question, attempt)` decides; what came in is kept."""

    plan: Callable[[str, int], Act]
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    succeeded: Counter[str] = field(default_factory=Counter)
    bytes_received: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def running(plan: Callable[[str, int], Act]) -> Iterator[Service]:
    service = Service(plan)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            body = json.loads(raw)
            question = body["messages"][-1]["content"]
            head = len(self.requestline) + 2 + sum(len(k) + len(v) + 4 for k, v in self.headers.items()) + 2
            with service.lock:
                service.requests.append(body)
                service.headers.append({k.lower(): v for k, v in self.headers.items()})
                service.times.append(time.monotonic())
                service.attempts[question] += 1
                service.bytes_received[question] += head + len(raw)
                service.busy += 1
                service.busiest = max(service.busiest, service.busy)
                act = service.plan(question, service.attempts[question])
            try:
                self.perform(act, question)
            except OSError:
                self.close_connection = True  # the client has gone
            finally:
                with service.lock:
                    service.busy -= 1

        def perform(self, act: Act, question: str) -> None:
            time.sleep(act.seconds)
            if act.after is not None:
                act.after.wait(30)
            if act.drop:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            body = completion(f"echo {question}") if act.body is None else act.body
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(act.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw) + (100 if act.cut else 0)))
            for name, value in act.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)
            self.wfile.flush()
            if act.cut:
                self.close_connection = True
            elif act.status == 200 and act.body is None:
                with service.lock:
                    service.succeeded[question] += 1

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
