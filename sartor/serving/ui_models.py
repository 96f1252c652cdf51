"""The models behind the chat page: offered by name, opened when they are first asked for, then served by the API."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from sartor.base.console import say
from sartor.base.errors import SartorError, UsageError
from sartor.retrieval.postgres_server import is_postgres
from sartor.serving.app import build_app
from sartor.serving.errors import ApiError, Json
from sartor.serving.paths import named_paths, served_models
from sartor.serving.served_model import ServedModel

State = Literal["resting", "loading", "ready", "failed"]
SECONDS_TO_COME_BACK = 5


@dataclass(frozen=True)
class OpenedPath:
    """A served model with what a person may want to know of it: the instruction and the number of worked examples
    that stand before every conversation, and the knowledge file that it reads."""

    model: ServedModel
    instruction: str = ""
    num_examples: int = 0
    knowledge: Path | None = None

    def as_dict(self, file: int | None) -> dict[str, Any]:
        """`file` is the number of its knowledge file among those that the pages show."""
        sampling = self.model.sampling
        return {
            "id": self.model.id,
            "instruction": self.instruction,
            "num_examples": self.num_examples,
            "max_context_tokens": self.model.max_context_tokens,
            "sampling": {
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "max_tokens": sampling.max_new_tokens,
            },
            "reads_documents": self.knowledge is not None,
            "file": file,
        }


def open_paths(names: Sequence[str], path: str | None, base: str) -> list[OpenedPath]:
    """Open them as `sartor serve` does; UsageError as there."""
    configs = {named.id: named for named in named_paths(names, path, base)}
    opened = []
    for model in served_models(names, path, base):
        named = configs[model.id]
        knowledge, similar = named.config.knowledge, named.config.similar
        examples = len(named.config.examples) + (similar.number if similar else 0)
        file = (named.folder / knowledge.file).resolve() if knowledge and not is_postgres(knowledge.file) else None
        opened.append(OpenedPath(model, named.config.instruction, examples, file))
    return opened


class ModelRoom:
    """ASGI application: the API of the models once they are open, 503 before.

    `open_all` takes as long as models take to load, so it runs in a thread. `on_open` hears what was opened.
    """

    def __init__(
        self,
        offered: Sequence[str],
        open_all: Callable[[], list[OpenedPath]],
        key: str | None = None,
        loopback: bool = True,
        on_open: Callable[[Sequence[OpenedPath]], None] = lambda opened: None,
    ):
        self.offered = list(offered)
        self.opened: list[OpenedPath] = []
        self.state: State = "resting"
        self.problem: str | None = None
        self._open_all, self._key, self._loopback, self._on_open = open_all, key, loopback, on_open
        self._app: ASGIApp | None = None
        self._running = contextlib.AsyncExitStack()
        self._loading: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Begin to open the models unless that has begun; a failed attempt is made again."""
        if self.state in ("resting", "failed"):
            self.state, self.problem = "loading", None
            self._loading = asyncio.create_task(self._load())

    async def close(self) -> None:
        if self._loading is not None:
            await self._loading
        await self._running.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._app or self._not_yet)(scope, receive, send)

    async def _load(self) -> None:
        say(f"opening {', '.join(self.offered)} …")
        try:
            self.opened = await asyncio.to_thread(self._open_all)
            app = build_app([each.model for each in self.opened], self._key, self._loopback)
            await self._running.enter_async_context(app.router.lifespan_context(app))
        except SartorError as error:
            self._fail(f"{error.what}; {error.hint}" if error.hint else error.what)
        except Exception as error:  # a model folder can be damaged in any way: the page says so, the server goes on
            self._fail(f"{type(error).__name__}: {error}")
        else:
            self._app = app
            self._on_open(self.opened)
            self.state = "ready"
            say(f"ready: {', '.join(each.model.id for each in self.opened)}")

    def _fail(self, problem: str) -> None:
        self.state, self.problem = "failed", problem
        say(f"the models cannot be opened: {problem}")

    async def _not_yet(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/health":
            answer = Json({"status": "ok"})
        elif path.startswith("/v1/"):
            words = {"resting": "no model is open yet: the chat page opens them", "loading": "the models are loading"}
            headers = {"Retry-After": str(SECONDS_TO_COME_BACK)}
            message = words.get(self.state, f"the models cannot be opened: {self.problem}")
            answer = ApiError(503, message, code="unavailable", headers=headers).response()
        else:
            answer = ApiError(404, f"there is nothing at {path}", code="not_found").response()
        await answer(scope, receive, send)


class ModelRoutes:
    """What the chat page asks besides the API itself."""

    def __init__(self, room: ModelRoom, file_of: Callable[[Path], int | None]):
        self._room, self._file_of = room, file_of

    async def state(self, request: Request) -> Json:
        return Json(self._state())

    async def load(self, request: Request) -> Json:
        self._room.load()
        return Json(self._state())

    def _state(self) -> dict[str, Any]:
        room = self._room
        answering = [each for each in room.opened if each.model.embedder is None]
        models = [each.as_dict(self._file_of(each.knowledge) if each.knowledge else None) for each in answering]
        return {"state": room.state, "problem": room.problem, "offered": room.offered, "models": models}


def require_offer(names: Sequence[str]) -> None:
    """UsageError when a name is given twice."""
    for name in names:
        if list(names).count(name) > 1:
            raise UsageError(f"{name} is named twice", hint="name each run, model and knowledge file once")
