"""What chat and plain completions have in common: places, jobs, events, usage."""

import random
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Hashable
from typing import Any

from sartor.serving.engine_thread import Job
from sartor.serving.errors import ApiError
from sartor.serving.scheduler import Scheduler
from sartor.serving.schema import GenerationRequest
from sartor.serving.served_model import ServedModel, TokenEvent
from sartor.serving.token_text import TokenTexts

SMALLEST_LOG_PROB = -9999.0  # what the API writes for minus infinity, which JSON does not have


class Completion(ABC):
    """A request on its way. `open` it, read it as `chunks` or `collect` it, and `close` it in every case.

    `close` stops the engine's work for it and gives its places back.
    """

    id_prefix: str
    form_param: str | None = None  # the parameter that says what form an answer should have

    def __init__(
        self, scheduler: Scheduler, model: ServedModel, request: GenerationRequest, texts: TokenTexts, client: Hashable
    ):
        self.scheduler, self.model, self.texts, self.client = scheduler, model, texts, client
        self._shape = request
        self.head = {"id": f"{self.id_prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model.id}
        self.prompt_tokens = self.completion_tokens = 0
        self._seed = random.getrandbits(32) if request.seed is None else request.seed
        self._jobs: list[Job] = []
        self._places = self.num_choices
        scheduler.reserve(self._places)
        self._closed = False

    @property
    @abstractmethod
    def num_choices(self) -> int: ...

    @abstractmethod
    async def open(self) -> None:
        """Make the prompts and hand them to the engine. ApiError when one does not fit; it is never cut."""

    @abstractmethod
    async def collect(self) -> dict[str, Any]:
        """The whole answer."""

    @abstractmethod
    def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The same in pieces."""

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.scheduler.release(self._places)
            for job in self._jobs:
                self.scheduler.cancel(job)

    # --- for the two kinds --------------------------------------------------------------------------------------------

    def check_room(self, prompt_tokens: int, param: str) -> int:
        """How many tokens an answer may have at most. ApiError 400 when prompt and answer do not fit the model."""
        room = self.model.max_context_tokens - prompt_tokens
        asked = self._shape.token_limit
        if room < (1 if asked is None else asked):
            answer = f" and {asked:,} were asked for" if asked else ""
            message = f"{self.model.id} reads {self.model.max_context_tokens:,} tokens; these are {prompt_tokens:,}"
            name = param if room < 1 else "max_tokens"  # a shorter answer would not help a prompt that is too long
            raise ApiError(400, message + answer, code="context_length_exceeded", param=name)
        return room

    def check_biases(self) -> None:
        """ApiError 400 for a biased token that the model does not have."""
        if self.model.chat is None or not self._shape.logit_bias:
            return
        known = len(self.model.chat.tokenizer)
        for token_id in self._shape.logit_bias:
            if token_id >= known:
                message = f"{self.model.id} has no token {token_id}"
                raise ApiError(400, message, param="logit_bias", code="invalid_value")

    def is_text(self, token_id: int) -> bool:
        """Whether a token is part of what is said. Control tokens are not, nor numbers that no token has; a space is,
        though some tokenizers drop it where a text begins."""
        is_control = self.model.chat is not None and token_id in self.model.chat.special_ids
        return not is_control and self.texts[token_id].raw != b""

    def next_seed(self) -> int:
        """Each choice has its own, so that they differ."""
        self._seed += 1
        return self._seed - 1

    async def events(self, job: Job) -> AsyncIterator[tuple[int, TokenEvent]]:
        async for number, event in self.scheduler.events(job):
            if event.finish == "error":  # only what an answer is held to can fail by itself
                message = "the form asked for turned out to be too much to be held to"
                raise ApiError(400, message, param=self.form_param, code="invalid_value")
            yield number, event

    def usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }

    def with_usage(self, chunk: dict[str, Any], usage: dict[str, int] | None = None) -> dict[str, Any]:
        """A chunk as clients that asked for usage expect it: null in all but the last."""
        return {**chunk, "usage": usage} if self._shape.wants_usage else chunk


def finite(log_prob: float) -> float:
    return max(log_prob, SMALLEST_LOG_PROB)
