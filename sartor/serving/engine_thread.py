"""The one thread that owns the engines: takes requests from a queue, steps, hands out what became of them."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Literal

from sartor.base.errors import SartorError
from sartor.generation.protocol import Sampling
from sartor.serving.errors import ApiError
from sartor.serving.served_model import TokenEngine, TokenEvent

FAILURES_IN_A_ROW_BEFORE_BROKEN = 3  # assumed: one bad request may fail a step, three are the engine's fault

log = logging.getLogger("sartor.serving")
Outcome = tuple[int, TokenEvent] | ApiError


@dataclass(eq=False)
class Job:
    """One prompt to be continued once for each of `samplings`.

    `outbox` gets pairs (number of the sampling, event), or one ApiError that ends the job.
    """

    engine: TokenEngine
    prompt_ids: list[int]
    samplings: Sequence[Sampling]
    outbox: "asyncio.Queue[Outcome]" = field(default_factory=asyncio.Queue)


Deliver = Callable[[list[tuple[Job, Outcome]]], None]


@dataclass
class _Running:
    """An engine with the requests under way in it, by the engine's number."""

    engine: TokenEngine
    requests: dict[int, tuple[Job, int]] = field(default_factory=dict)
    failures: int = 0
    broken: bool = False

    def jobs(self) -> list[Job]:
        return list({id(job): job for job, _ in self.requests.values()}.values())


class EngineThread:
    """`add` and `cancel` may be called from any thread; `deliver` is called in the engine thread.

    A step that raises ends the requests of its engine with status 500. An engine that cannot be cleaned up,
    or fails again and again, is broken: `problem` says so and its requests get 503. When `ended`, nothing
    is done any more.
    """

    def __init__(self, deliver: Deliver):
        self.problem: str | None = None
        self.ended = False
        self._deliver = deliver
        self._inbox: SimpleQueue[tuple[Literal["add", "cancel"], Job] | None] = SimpleQueue()  # None: stop
        self._engines: dict[int, _Running] = {}
        self._outgoing: list[tuple[Job, Outcome]] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sartor engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, job: Job) -> None:
        self._inbox.put(("add", job))

    def cancel(self, job: Job) -> None:
        self._inbox.put(("cancel", job))

    def stop(self) -> None:
        """End after the step under way; requests that are left get 503. Blocks until then."""
        self._inbox.put(None)
        self._thread.join()

    # --- in the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._obey()
                for running in self._engines.values():
                    if running.requests:
                        self._step(running)
                self._hand_out()
            self.problem = self.problem or "the server is shutting down"
        except Exception:
            log.exception("the engine thread ended")
            self.problem = "the engine thread has failed"
        self.ended = True
        self._end_all(ApiError(503, self.problem, code="unavailable"))

    def _obey(self) -> None:
        """Do what the queue asks for; wait for it when there is nothing else to do."""
        idle = not any(running.requests for running in self._engines.values())
        with contextlib.suppress(Empty):
            while not self._stopping:
                command = self._inbox.get(block=idle)
                idle = False
                if command is None:
                    self._stopping = True
                elif command[0] == "add":
                    self._add(command[1])
                else:
                    self._cancel(command[1])

    def _add(self, job: Job) -> None:
        running = self._engines.setdefault(id(job.engine), _Running(job.engine))
        if running.broken:
            self._outgoing.append((job, ApiError(503, "this model's engine has failed", code="unavailable")))
            return
        try:
            for number, sampling in enumerate(job.samplings):
                running.requests[job.engine.add(job.prompt_ids, sampling)] = (job, number)
        except SartorError as error:
            self._cancel(job)
            self._outgoing.append((job, ApiError(400, error.what)))
        except Exception:
            self._recover(running)
            self._outgoing.append((job, _failure()))

    def _cancel(self, job: Job) -> None:
        running = self._engines.get(id(job.engine))
        owned = [number for number, (owner, _) in running.requests.items() if owner is job] if running else []
        for request_id in owned:
            assert running is not None
            running.requests.pop(request_id, None)
            try:
                job.engine.cancel(request_id)
            except Exception:
                self._recover(running)
                return

    def _step(self, running: _Running) -> None:
        try:
            events = running.engine.step()
        except Exception:
            self._recover(running)
            return
        running.failures = 0
        for event in events:
            if event.request_id in running.requests:
                job, number = running.requests[event.request_id]
                self._outgoing.append((job, (number, event)))
                if event.finish is not None:
                    del running.requests[event.request_id]

    def _recover(self, running: _Running) -> None:
        """After an exception: end the engine's requests and see whether it can go on without them."""
        log.exception("the engine failed")
        running.failures += 1
        self._outgoing += [(job, _failure()) for job in running.jobs()]
        try:
            for request_id in running.requests:
                running.engine.cancel(request_id)
            running.broken = running.engine.has_work or running.failures >= FAILURES_IN_A_ROW_BEFORE_BROKEN
        except Exception:
            log.exception("the engine could not be cleaned up")
            running.broken = True
        running.requests.clear()
        if running.broken:
            self.problem = "an engine has failed"

    def _hand_out(self) -> None:
        if self._outgoing:
            self._deliver(self._outgoing)
            self._outgoing = []

    def _end_all(self, error: ApiError) -> None:
        with contextlib.suppress(Empty):
            while True:
                command = self._inbox.get_nowait()
                if command is not None and command[0] == "add":
                    self._outgoing.append((command[1], error))
        for running in self._engines.values():
            self._outgoing += [(job, error) for job in running.jobs()]
            running.requests.clear()
        self._hand_out()


def _failure() -> ApiError:
    return ApiError(500, "the engine failed; the server's log says why", code="engine_failed")
