"""The one thread that owns the engines: lets requests in by turns, steps, hands out what became of them."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Literal

from sartor.base.errors import SartorError
from sartor.generation.protocol import Sampling, TokenConstraint
from sartor.serving.errors import ApiError
from sartor.serving.fair_queue import FairQueue
from sartor.serving.served_model import TokenEngine, TokenEvent

FAILURES_IN_A_ROW_BEFORE_BROKEN = 3  # assumed: one bad request may fail a step, three are the engine's fault

log = logging.getLogger("sartor.serving")
Outcome = tuple[int, TokenEvent] | ApiError


@dataclass(eq=False)
class Job:
    """One prompt to be continued once for each of `samplings`; `constraints` has as many, or is None.

    `client` is whose turn it takes. `outbox` gets pairs (number of the sampling, event), or one ApiError that ends
    the job.
    """

    engine: TokenEngine
    prompt_ids: list[int]
    samplings: Sequence[Sampling]
    constraints: Sequence[TokenConstraint | None] | None = None
    adapter: str | None = None
    prompt_log_probs: int | None = None
    client: Hashable = ""
    outbox: "asyncio.Queue[Outcome]" = field(default_factory=asyncio.Queue)


Deliver = Callable[[list[tuple[Job, Outcome]]], None]


@dataclass
class _Running:
    """An engine with the requests under way in it, by the engine's number, and the jobs it was not given yet."""

    engine: TokenEngine
    requests: dict[int, tuple[Job, int]] = field(default_factory=dict)
    waiting: FairQueue[Job] = field(default_factory=FairQueue)
    failures: int = 0
    broken: bool = False

    @property
    def busy(self) -> bool:
        return bool(self.requests) or bool(len(self.waiting))

    def has_room(self) -> bool:
        """Its own queue is first in, first out, so it gets no more than it can begin with at once."""
        return self.engine.active + self.engine.queued < self.engine.max_rows

    def jobs(self) -> list[Job]:
        """Those under way."""
        return list({id(job): job for job, _ in self.requests.values()}.values())

    def take_waiting(self) -> list[Job]:
        return [self.waiting.pop() for _ in range(len(self.waiting))]


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
                    self._let_in(running)
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
        idle = not any(running.busy for running in self._engines.values())
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
            self._outgoing.append((job, _gone()))
        else:
            running.waiting.push(job.client, job)

    def _let_in(self, running: _Running) -> None:
        """Give the engine the next jobs that it has room for. What was queued in it before had no room."""
        if not running.engine.queued:
            while len(running.waiting) and running.has_room():
                self._begin(running, running.waiting.pop())

    def _begin(self, running: _Running, job: Job) -> None:
        try:
            request_ids = job.engine.add_group(
                job.prompt_ids, job.samplings, job.constraints, job.adapter, job.prompt_log_probs
            )
        except SartorError as error:
            self._outgoing.append((job, ApiError(400, error.what)))
        except Exception:
            self._outgoing.append((job, _failure()))
            self._recover(running)
        else:
            running.requests |= {request_id: (job, number) for number, request_id in enumerate(request_ids)}

    def _cancel(self, job: Job) -> None:
        running = self._engines.get(id(job.engine))
        if running is None or running.waiting.remove(job.client, job):
            return
        for request_id in [number for number, (owner, _) in running.requests.items() if owner is job]:
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
            self._outgoing += [(job, _gone()) for job in running.take_waiting()]

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
            self._outgoing += [(job, error) for job in (*running.jobs(), *running.take_waiting())]
            running.requests.clear()
        self._hand_out()


def _failure() -> ApiError:
    return ApiError(500, "the engine failed; the server's log says why", code="engine_failed")


def _gone() -> ApiError:
    return ApiError(503, "this model's engine has failed", code="unavailable")
