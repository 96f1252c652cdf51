"""What the server needs to know of a path that it serves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sartor.data.records import Conversation
from sartor.generation.protocol import Passage, Sampling


class TokenEvent(Protocol):
    """One new token of a request; `text` is what became safe to show, `finish` is stop, length or None."""

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


class TokenEngine(Protocol):
    """Batched generation, used by one thread only (`generation.engine.Engine` is one)."""

    @property
    def has_work(self) -> bool: ...

    def add(self, prompt: Sequence[int], sampling: Sampling) -> int:
        """Queue a prompt; the id marks its events."""
        ...

    def step(self) -> Sequence[TokenEvent]:
        """One step for all active rows, waiting ones let in."""
        ...

    def cancel(self, request_id: int) -> None:
        """Forget a request; one that is unknown or finished is no error."""
        ...


@dataclass(frozen=True)
class ServedModel:
    """A path of a run as a model id.

    `prepare` renders a conversation into prompt ids, and gives the passages that went into it, best first;
    None in their place says that the path does not retrieve. It is called by one thread, never twice at
    once, which is neither the engine's nor the one that made this; DataError there is the client's mistake.
    `decode` gives the text of token ids ("" for control tokens). `sampling` is how the path was measured:
    it stands in for what a request leaves open, and its stop strings always hold. Several models may share
    an engine.
    """

    id: str
    engine: TokenEngine
    prepare: Callable[[Conversation], tuple[list[int], list[Passage] | None]]
    decode: Callable[[Sequence[int]], str]
    max_context_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    created: int = 0  # seconds since 1970
