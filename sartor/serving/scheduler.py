"""Between the event loop and the threads that do the work: bounded requests in, events back in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from sartor.base.errors import DataError
from sartor.data.records import Conversation
from sartor.generation.protocol import Passage, Sampling
from sartor.serving.engine_thread import EngineThread, Job, Outcome
from sartor.serving.errors import ApiError
from sartor.serving.served_model import ServedModel, TokenEvent

MAX_ANSWERS_UNDER_WAY = 256  # assumed: four times what the engine runs at once
RETRY_AFTER_SECONDS = 5  # assumed: a few short answers later there is room again


class Scheduler:
    """All methods belong to the event loop's thread. `start` before use, `close` at the end."""

    def __init__(self, max_answers: int = MAX_ANSWERS_UNDER_WAY):
        self.max_answers, self._reserved = max_answers, 0
        self._preparing = ThreadPoolExecutor(1, "sartor prepare")
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
        await asyncio.to_thread(self._preparing.shutdown, cancel_futures=True)

    def reserve(self, answers: int) -> None:
        """Take places for so many answers until `release`. ApiError 429 when there are not enough."""
        if self._reserved + answers > self.max_answers:
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise ApiError(429, "too many requests are under way", code="queue_full", headers=headers)
        self._reserved += answers

    def release(self, answers: int) -> None:
        self._reserved -= answers

    async def prepare(
        self, model: ServedModel, messages: Conversation
    ) -> tuple[list[int], list[Passage] | None]:
        """The model's prompt for these messages. ApiError 400 for messages that it cannot take."""
        assert self._loop is not None
        try:
            return await self._loop.run_in_executor(self._preparing, model.prepare, messages)
        except DataError as error:
            raise ApiError(400, error.what, param="messages") from None

    def submit(self, model: ServedModel, prompt_ids: list[int], samplings: Sequence[Sampling]) -> Job:
        """Hand a prompt to the engine thread. ApiError 503 when that has ended."""
        job = Job(model.engine, prompt_ids, samplings)
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

    def _deliver(self, outcomes: list[tuple[Job, Outcome]]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is waiting any more
            self._loop.call_soon_threadsafe(_put, outcomes)


def _put(outcomes: list[tuple[Job, Outcome]]) -> None:
    for job, outcome in outcomes:
        job.outbox.put_nowait(outcome)
