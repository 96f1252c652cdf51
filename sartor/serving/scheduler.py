"""Between the event loop and the threads that do the work: bounded requests in, events back in order.

A request passes three gates, each by turns between clients: it is prepared (search, template), it is let into the
engine, or its texts are embedded. Whoever leaves gives up his place at whichever gate he stands.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from sartor.base.errors import DataError
from sartor.data.records import Conversation
from sartor.generation.protocol import Passage, Sampling, TokenConstraint
from sartor.serving.engine_thread import EngineThread, Job, Outcome
from sartor.serving.errors import ApiError
from sartor.serving.fair_queue import FairGate
from sartor.serving.places import Places
from sartor.serving.served_model import ServedModel, TokenEvent

MAX_ANSWERS_UNDER_WAY = 256  # assumed: four times what the engine runs at once
PREPARING_THREADS = 4  # assumed: searches wait for the disk and for each other's locks
TEXTS_AT_ONCE = 16  # assumed: what is embedded between two clients' turns takes a fraction of a second

Result = TypeVar("Result")


class Scheduler:
    """All methods belong to the event loop's thread. `start` before use, `close` at the end.

    `client` says whose turn a request takes: the name of a key, or an address.
    """

    def __init__(self, max_answers: int = MAX_ANSWERS_UNDER_WAY):
        self.places = Places(max_answers)
        self._preparing = ThreadPoolExecutor(PREPARING_THREADS, "sartor prepare")
        self._embedding = ThreadPoolExecutor(1, "sartor embed")
        self._may_prepare, self._may_embed = FairGate(PREPARING_THREADS), FairGate(1)
        self._thread = EngineThread(self._deliver)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def problem(self) -> str | None:
        """Why requests cannot be served; None while all is well."""
        return self._thread.problem if self._loop else "not started"

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def close(self) -> None:
        """End what is under way with 503, and the threads."""
        await asyncio.to_thread(self._thread.stop)
        for pool in (self._preparing, self._embedding):
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)

    def reserve(self, answers: int) -> None:
        """Take places for so many answers (or texts to embed at once: 1) until `release`. ApiError 429 when there
        are not enough."""
        self.places.reserve(answers)

    def release(self, answers: int) -> None:
        self.places.release(answers)

    async def prepare(
        self,
        model: ServedModel,
        messages: Conversation,
        tools: Sequence[dict[str, Any]] = (),
        client: Hashable = "",
    ) -> tuple[list[int], list[Passage] | None]:
        """The model's prompt for these messages. ApiError 400 for messages that it cannot take."""
        return await self.run(model.prepare, messages, tools, client=client)

    async def run(
        self, work: Callable[..., Result], *arguments: Any, client: Hashable = "", param: str = "messages"
    ) -> Result:
        """Do something that takes a while, such as compiling a grammar, in a thread for preparing. A DataError
        becomes an ApiError 400 that names `param`."""
        async with self._may_prepare.enter(client):
            return await self._in_thread(self._preparing, param, work, *arguments)

    def submit(
        self,
        model: ServedModel,
        prompt_ids: list[int],
        samplings: Sequence[Sampling],
        constraints: Sequence[TokenConstraint | None] | None = None,
        prompt_log_probs: int | None = None,
        client: Hashable = "",
    ) -> Job:
        """Hand a prompt to the engine thread. ApiError 503 when that has ended."""
        assert model.engine is not None, f"{model.id} does not generate"
        job = Job(model.engine, prompt_ids, samplings, constraints, model.adapter, prompt_log_probs, client)
        self._thread.add(job)
        if self._thread.ended:  # asked after adding, so that no job falls between
            raise ApiError(503, self.problem or "the engine is gone", code="unavailable")
        return job

    def cancel(self, job: Job) -> None:
        """Stop working for the job before the next step; harmless once it has ended."""
        self._thread.cancel(job)

    async def events(self, job: Job) -> AsyncIterator[tuple[int, TokenEvent]]:
        """(number of the sampling, event) as they are made, until all have finished. ApiError on failure."""
        left = len(job.samplings)
        while left:
            outcome = await job.outbox.get()
            if isinstance(outcome, ApiError):
                raise outcome
            yield outcome
            left -= outcome[1].finish is not None

    async def embed(self, model: ServedModel, texts: Sequence[str], client: Hashable = "") -> np.ndarray:
        """Vectors [len(texts), dimension] of unit length, a few texts at a time, clients by turns."""
        assert model.embedder is not None, f"{model.id} does not embed"
        found = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            async with self._may_embed.enter(client):
                some = texts[start : start + TEXTS_AT_ONCE]
                found.append(await self._in_thread(self._embedding, "input", model.embedder.embed, some))
        return np.concatenate(found) if found else np.zeros((0, model.embedder.dimension), np.float32)

    async def _in_thread(
        self, pool: ThreadPoolExecutor, param: str, work: Callable[..., Result], *arguments: Any
    ) -> Result:
        """A thread cannot be stopped: whoever leaves while it works holds his place at the gate until it is done."""
        assert self._loop is not None
        working = asyncio.ensure_future(self._loop.run_in_executor(pool, work, *arguments))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])
            working.exception()  # whatever it was, nobody waits for it any more
            raise
        except DataError as error:
            raise ApiError(400, error.what, param=param) from None

    def _deliver(self, outcomes: list[tuple[Job, Outcome]]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is waiting any more
            self._loop.call_soon_threadsafe(_put, outcomes)


def _put(outcomes: list[tuple[Job, Outcome]]) -> None:
    for job, outcome in outcomes:
        job.outbox.put_nowait(outcome)
