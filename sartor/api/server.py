"""`sartor serve` from a program: an OpenAI-compatible server in a thread of its own."""

import os
import threading
import time
from types import TracebackType

from sartor.api.configured import Place
from sartor.base.errors import SartorError
from sartor.serving.app import build_app
from sartor.serving.auth import check_binding, is_loopback
from sartor.serving.paths import served_models
from sartor.serving.server import http_server, listen

START_SECONDS = 60.0


class Server:
    """A running server. `with sartor.serve("runs/my-task") as server:` stops it at the end; else call `stop`.

    base_url: what an OpenAI client needs. models: the ids that it serves.
    """

    def __init__(self, runs: tuple[str, ...], path: str | None, base: str, host: str, port: int, key: str | None):
        check_binding(host, key)
        models = served_models(runs, path, base)
        listening = listen(host, port)
        self.models = [model.id for model in models]
        self.base_url = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/v1"
        self._server = http_server(build_app(models, key, is_loopback(host)))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        self._wait_until_started()

    def _wait_until_started(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise SartorError("the server did not start", hint="what it said is above")
            time.sleep(0.01)

    def wait(self) -> None:
        """Serve until `stop` is called elsewhere, or Ctrl-C."""
        try:
            while self._thread.is_alive():
                self._thread.join(0.2)
        except KeyboardInterrupt:
            self.stop()

    def stop(self) -> None:
        """End it; requests under way have a few seconds to finish."""
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(
    *runs: Place,
    path: str | None = None,
    base: Place = "starter",
    host: str = "127.0.0.1",
    port: int = 0,
    key: str | None = None,
) -> Server:
    """Serve runs, models and knowledge files, each a model id, on a free port or the one given.

    Args:
        path: path of a choice to serve (default: the chosen one).
        base: model that answers from knowledge files.
        key: what callers must send; addresses beyond this machine need one.
    """
    return Server(tuple(os.fspath(run) for run in runs), path, os.fspath(base), host, port, key)
