"""One chat request on its way: from the checked request to chunks or a whole answer."""

import dataclasses
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from sartor.generation.protocol import Passage
from sartor.serving.engine_thread import Job
from sartor.serving.errors import ApiError
from sartor.serving.scheduler import Scheduler
from sartor.serving.schema import ChatRequest
from sartor.serving.served_model import ServedModel, TokenEvent

SMALLEST_LOG_PROB = -9999.0  # what the API writes for minus infinity, which JSON does not have
BROKEN_CHARACTER = "\ufffd"


class Completion:
    """`open` it, read it as `chunks` or `collect` it, and `close` it in every case.

    `close` stops the engine's work for it and gives its places back.
    """

    def __init__(self, scheduler: Scheduler, model: ServedModel, request: ChatRequest):
        self.scheduler, self.model, self.request = scheduler, model, request
        self.head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model.id}
        self.passages: list[Passage] | None = None
        self.prompt_tokens = self.completion_tokens = 0
        self._job: Job | None = None
        scheduler.reserve(request.n)
        self._closed = False

    async def open(self) -> None:
        """Render the prompt and hand it to the engine. ApiError when it does not fit; it is never cut."""
        prompt_ids, self.passages = await self.scheduler.prepare(self.model, self.request.conversation)
        self.prompt_tokens = len(prompt_ids)
        room = self.model.max_context_tokens - self.prompt_tokens
        if room < (self.request.token_limit or 1):
            raise _too_long(self.model, self.prompt_tokens, self.request.token_limit)
        samplings = self.request.samplings(self.model.sampling, room)
        self._job = self.scheduler.submit(self.model, prompt_ids, samplings)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.scheduler.release(self.request.n)
            if self._job is not None:
                self.scheduler.cancel(self._job)

    async def collect(self) -> dict[str, Any]:
        """The whole `chat.completion`."""
        texts = [""] * self.request.n
        finishes: list[str | None] = [None] * self.request.n
        tokens: list[list[dict[str, Any]]] = [[] for _ in range(self.request.n)]
        async for choice, event in self._events():
            texts[choice] += event.text
            finishes[choice] = event.finish
            tokens[choice] += self._tokens(event)
        choices = [{
            "index": choice,
            "message": {"role": "assistant", "content": texts[choice], "refusal": None, **self._citations()},
            "logprobs": {"content": tokens[choice], "refusal": None} if self.request.logprobs else None,
            "finish_reason": finishes[choice],
        } for choice in range(self.request.n)]
        return {**self.head, "object": "chat.completion", "choices": choices, "usage": self._usage()}

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The same as `chat.completion.chunk`s; citations come with each choice's last one."""
        for choice in range(self.request.n):
            yield self._chunk([_delta(choice, {"role": "assistant", "content": ""})])
        async for choice, event in self._events():
            delta: dict[str, Any] = {"content": event.text} if event.text else {}
            tokens = self._tokens(event)
            if event.text or tokens:
                yield self._chunk([_delta(choice, delta, tokens if self.request.logprobs else None)])
            if event.finish is not None:
                yield self._chunk([_delta(choice, self._citations(), finish=event.finish)])
        if self._wants_usage:
            yield self._chunk([], self._usage())

    # --- pieces -------------------------------------------------------------------------------------------

    async def _events(self) -> AsyncIterator[tuple[int, TokenEvent]]:
        assert self._job is not None, "open() comes first"
        async for choice, event in self.scheduler.events(self._job):
            self.completion_tokens += 1
            yield choice, event

    @property
    def _wants_usage(self) -> bool:
        return self.request.stream_options is not None and self.request.stream_options.include_usage

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> dict[str, Any]:
        chunk = {**self.head, "object": "chat.completion.chunk", "choices": choices}
        return {**chunk, "usage": usage} if self._wants_usage else chunk

    def _usage(self) -> dict[str, int]:
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens,
                "total_tokens": self.prompt_tokens + self.completion_tokens}

    def _citations(self) -> dict[str, Any]:
        """What the answer could stand on; nothing for paths that do not retrieve."""
        if self.passages is None:
            return {}
        return {"sartor": {"passages": [dataclasses.asdict(passage) for passage in self.passages]}}

    def _tokens(self, event: TokenEvent) -> list[dict[str, Any]]:
        """The token as the API lists it, if asked for; control tokens have no text and are left out."""
        text = self.model.decode([event.token_id]) if self.request.logprobs else ""
        if not text:
            return []
        whole = BROKEN_CHARACTER not in text  # else it is part of a character: its bytes are not in the text
        return [{"token": text, "bytes": list(text.encode()) if whole else None,
                 "logprob": max(event.log_prob, SMALLEST_LOG_PROB), "top_logprobs": []}]


def _delta(
    choice: int, delta: dict[str, Any], tokens: list[dict[str, Any]] | None = None, finish: str | None = None
) -> dict[str, Any]:
    log_probs = {"content": tokens, "refusal": None} if tokens is not None else None
    return {"index": choice, "delta": delta, "logprobs": log_probs, "finish_reason": finish}


def _too_long(model: ServedModel, prompt_tokens: int, asked: int | None) -> ApiError:
    answer = f" and {asked:,} were asked for" if asked is not None else ""
    message = f"{model.id} reads {model.max_context_tokens:,} tokens; these are {prompt_tokens:,}{answer}"
    param = "messages" if asked is None else "max_tokens"
    return ApiError(400, message, code="context_length_exceeded", param=param)
