"""What the server needs to know of a path that it serves, and of the engine behind it."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sartor.data.chat import ChatFormat
from sartor.data.records import Conversation
from sartor.generation.constrained import Grammars
from sartor.generation.events import PromptScores
from sartor.generation.protocol import Passage, Sampling, TokenConstraint
from sartor.retrieval.protocol import TextEmbedder
from sartor.serving.errors import ApiError

Capability = Literal["constraints", "top_log_probs", "prompt_log_probs", "penalties", "logit_bias"]
ALL_CAPABILITIES: frozenset[Capability] = frozenset(
    ("constraints", "top_log_probs", "prompt_log_probs", "penalties", "logit_bias")
)
NEEDS: dict[str, Capability] = {  # what a parameter of a request needs of the engine
    "response_format": "constraints",
    "tools": "constraints",
    "top_logprobs": "top_log_probs",
    "logprobs": "top_log_probs",  # of plain completions: a number of likeliest tokens
    "echo": "prompt_log_probs",
    "frequency_penalty": "penalties",
    "presence_penalty": "penalties",
    "logit_bias": "logit_bias",
}
Prepare = Callable[[Conversation, Sequence[dict[str, Any]]], tuple[list[int], list[Passage] | None]]


class TokenEvent(Protocol):
    """One new token of a request; `text` is what became safe to show, `finish` is stop, length, error or
    None."""

    @property
    def request_id(self) -> int: ...

    @property
    def token_id(self) -> int: ...

    @property
    def log_prob(self) -> float: ...

    @property
    def text(self) -> str: ...

    @property
    def finish(self) -> str | None: ...

    @property
    def top(self) -> Sequence[tuple[int, float]]:
        """The likeliest tokens in its place, as many as the sampling asked for."""
        ...

    @property
    def prompt(self) -> PromptScores | None:
        """In the first event of a request that asked for the scores of its prompt."""
        ...


class TokenEngine(Protocol):
    """Batched generation, used by one thread only (`generation.engine.Engine` is one)."""

    @property
    def has_work(self) -> bool: ...

    @property
    def max_rows(self) -> int:
        """How many answers it works on at once."""
        ...

    @property
    def active(self) -> int:
        """Answers that it works on."""
        ...

    @property
    def queued(self) -> int:
        """Answers that were added and wait for room."""
        ...

    def add_group(
        self,
        prompt: Sequence[int],
        samplings: Sequence[Sampling],
        constraints: Sequence[TokenConstraint | None] | None = None,
        adapter: str | None = None,
        prompt_log_probs: int | None = None,
    ) -> list[int]:
        """Queue one answer for each of `samplings`, the prompt computed once; the ids mark their events.

        `prompt_log_probs`: score the prompt's tokens as well, with so many of the likeliest in each place.
        """
        ...

    def step(self) -> Sequence[TokenEvent]:
        """One step for all active rows, waiting ones let in."""
        ...

    def cancel(self, request_id: int) -> None:
        """Forget a request; one that is unknown or finished is no error."""
        ...


@dataclass(frozen=True)
class ServedModel:
    """A path of a run, or an embedding model, as a model id.

    `prepare(conversation, tools)` renders a conversation into prompt ids, and gives the passages that went into
    it, best first; None in their place says that the path does not retrieve. It may be called by several threads
    at once; DataError there is the client's mistake. `decode` gives the text of token ids ("" for control tokens).
    `sampling` is how the path was measured: it stands in for what a request leaves open, and its stop strings
    always hold. Several models may share an engine; `adapter` is this one's name in it.

    An embedding model has an `embedder` and no `engine`; every other has an `engine` and no `embedder`.
    """

    id: str
    engine: TokenEngine | None
    prepare: Prepare
    decode: Callable[[Sequence[int]], str]
    max_context_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    created: int = 0  # seconds since 1970
    adapter: str | None = None
    chat: ChatFormat | None = None
    grammars: Grammars | None = None  # the maker of constraints, None where the engine takes none
    embedder: TextEmbedder | None = None
    capabilities: frozenset[Capability] = ALL_CAPABILITIES
    retrieves: bool = False  # its answers rest on documents, so it cannot continue a text by itself
    rendering: threading.Lock = field(default_factory=threading.Lock)  # held by whoever reads a text with the tokenizer

    def require(self, parameters: Iterable[str]) -> None:
        """ApiError 400 that names the first of a request's parameters that the engine cannot do."""
        for name in parameters:
            if name in NEEDS and NEEDS[name] not in self.capabilities:
                message = f"{name} cannot be used with the engine that {self.id} is served by"
                raise ApiError(400, message, param=name, code="unsupported_parameter")
