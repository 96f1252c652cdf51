"""A web server on this machine that answers as a test tells it, and remembers what it was asked."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Handler = BaseHTTPRequestHandler
Answer = tuple[int, dict[str, str], bytes] | Callable[[Handler], None]


@dataclass
class WebServer:
    """`pages` maps a path to its answer: (status, headers, body), or a function that writes to the handler itself.
    `asked` are the paths in the order of the requests, `headers` those of each request."""

    url: str = ""
    pages: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def page(self, path: str, body: str | bytes = "", status: int = 200, **headers: str) -> None:
        """Put a page there; `Content_Type` stands for Content-Type."""
        named = {"Content-Type": "text/html; charset=utf-8"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (status, named, body.encode() if isinstance(body, str) else body)

    def count(self, path: str) -> int:
        return self.asked.count(path)


@contextmanager
def web_server() -> Iterator[WebServer]:
    server = WebServer()

    class Handle(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.asked.append(self.path)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            answer = server.pages.get(self.path, (404, {}, b"nothing here"))
            if callable(answer):
                with suppress(BrokenPipeError, ConnectionResetError):
                    answer(self)
                self.close_connection = True
                return
            status, headers, body = answer
            tag = headers.get("ETag")
            if status == 200 and tag is not None and self.headers.get("If-None-Match") == tag:
                status, body = 304, b""
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handle)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join(5)
