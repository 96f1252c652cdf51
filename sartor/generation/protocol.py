"""Conversations in, replies out: the one protocol behind every way of using a language model.

A path that `choose` measures, a served model id and a chat partner are all a `Generator`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sartor.data.records import Conversation


@dataclass(frozen=True)
class Sampling:
    """How to choose the next token. `temperature` 0 is greedy; `stop` strings end the reply and are cut off.

    `presence_penalty` is taken off the logit of each token that the reply has already, `frequency_penalty` once for
    each time it has it; `logit_bias` are pairs (token id, what is added to its logit). `top_log_probs`: so many of the
    likeliest tokens are reported with each token.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    top_log_probs: int = 0


class TokenConstraint(Protocol):
    """What one answer may say, token by token; an object for each answer, used by one thread."""

    @property
    def finished(self) -> bool:
        """Nothing but the end may follow: the engine then ends the answer."""
        ...

    def allowed(self) -> NDArray[np.bool_]:
        """[vocabulary]: the tokens that may come next, stop ids only where the text may end. It is read before the
        next call, not kept."""
        ...

    def accept(self, token_id: int) -> None:
        """Go on behind this token, which was allowed. It is not called for the stop id that ends the answer."""
        ...


@dataclass
class Passage:
    """A retrieved piece of a document; `start` and `end` are character offsets in the document's text."""

    chunk_id: str
    document_id: str
    text: str
    score: float
    start: int = 0
    end: int = 0
    title: str = ""


@dataclass
class Reply:
    """One answer and what it took to get it.

    `finish` is `stop`, `length` or `error`; then `error` says why and `text` is empty.
    `token_ids` and `log_probs` (natural log, one a token) are known for local models only.
    `seconds` is the time from asking to the last token of this reply; `cost` is in US dollars, None where unknown.
    """

    text: str
    finish: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    messages: Conversation = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    error: str | None = None
    hosts: tuple[str, ...] = ()
    bytes_sent: int = 0
    cost: float | None = 0.0


class Generator(Protocol):
    """Anything that answers conversations."""

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        """Answer every conversation, in order; `on_reply(index, reply)` is called as each one finishes.

        A conversation that cannot be answered gives a Reply with `finish="error"`, its neighbours are answered.
        """
        ...
