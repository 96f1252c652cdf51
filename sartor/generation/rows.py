"""A request in the engine: its prompt, how it is answered, and what was said so far."""

import logging
from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor

from sartor.base.errors import SartorError
from sartor.generation.events import NO_TOKEN, Event, TopTokens
from sartor.generation.prompt_scores import PromptScoring
from sartor.generation.protocol import Sampling, TokenConstraint
from sartor.generation.text import TextStream

log = logging.getLogger("sartor.generation")


@dataclass(eq=False)
class Prompt:
    """What the answers of a group have in common; `ids` are behind the shared prefix."""

    ids: list[int]
    adapter: str | None = None
    scoring: PromptScoring | None = None

    @property
    def to_be_scored(self) -> bool:
        return self.scoring is not None and not self.scoring.complete


@dataclass(eq=False)
class Row:
    request_id: int
    prompt: Prompt
    sampling: Sampling
    stream: TextStream
    random: Random
    constraint: TokenConstraint | None = None
    tokens: list[int] = field(default_factory=list)
    length: int = 0  # tokens in the cache behind the shared prefix
    error: str | None = None
    _told: bool = False  # whether its first event was made
    _counts: dict[int, int] = field(default_factory=dict)  # how often each token was said; only where it matters

    @property
    def needed(self) -> int:
        """How many tokens it may come to."""
        return len(self.prompt.ids) + self.sampling.max_new_tokens

    @property
    def penalised(self) -> bool:
        return self.sampling.frequency_penalty != 0 or self.sampling.presence_penalty != 0

    @property
    def plain(self) -> bool:
        """Whether the model's logits are taken as they are."""
        return self.constraint is None and not self.sampling.logit_bias and not self.penalised

    def adjust(self, logits: Tensor) -> None:
        """Apply penalties, bias and constraint to the row's logits [V], in place."""
        sampling, place = self.sampling, logits.device
        if self._counts:
            said = torch.tensor(list(self._counts), device=place)
            times = torch.tensor(list(self._counts.values()), dtype=logits.dtype, device=place)
            logits[said] -= times * sampling.frequency_penalty + sampling.presence_penalty
        if sampling.logit_bias:
            tokens, biases = zip(*sampling.logit_bias, strict=True)
            added = torch.tensor(biases, dtype=logits.dtype, device=place)
            logits.index_add_(0, torch.tensor(tokens, device=place), added)
        if self.constraint is not None:
            self._constrain(logits, self.constraint)

    def _constrain(self, logits: Tensor, constraint: TokenConstraint) -> None:
        """Hide what may not follow. A constraint that fails ends this answer, not those beside it."""
        try:
            allowed = torch.from_numpy(constraint.allowed())[: len(logits)]
        except Exception as error:
            self._fail(error)
            return
        if not bool(allowed.any()):
            self.error = "the constraint allows no token here"
            return
        allowed = allowed.to(logits.device)
        logits[: len(allowed)].masked_fill_(~allowed, float("-inf"))
        logits[len(allowed) :] = float("-inf")  # of a vocabulary that was padded

    def advance(self, token: int, log_prob: float, top: TopTokens, stop_ids: set[int]) -> Event:
        """Take the token that was chosen."""
        finish, text = None, ""
        if self.error is None and token not in stop_ids and self.constraint is not None:
            self._accept(token, self.constraint)
        if self.error is not None:
            return self.event(NO_TOKEN, 0.0, self.stream.finish(), "error")
        self.tokens.append(token)
        if self.penalised:
            self._counts[token] = self._counts.get(token, 0) + 1
        if token in stop_ids:
            text, finish = self.stream.finish(), "stop"
        else:
            text = self.stream.push(token)
            if self.stream.stopped:
                finish = "stop"
            elif self.constraint is not None and self.constraint.finished:
                text, finish = text + self.stream.finish(), "stop"
            elif len(self.tokens) >= self.sampling.max_new_tokens:
                text, finish = text + self.stream.finish(), "length"
        return self.event(token, log_prob, text, finish, top)

    def _accept(self, token: int, constraint: TokenConstraint) -> None:
        try:
            constraint.accept(token)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, SartorError):
            self.error = error.what
        else:
            log.error("what constrains an answer failed", exc_info=error)
            self.error = "what constrains the answer failed"

    def event(self, token: int, log_prob: float, text: str, finish: str | None, top: TopTokens = ()) -> Event:
        scoring = None if self._told else self.prompt.scoring
        scores = None if scoring is None else scoring.result
        self._told = True
        return Event(self.request_id, token, log_prob, text, finish, top, scores, self.error)


@dataclass(eq=False)
class Reading:
    """A prompt on its way into the cache, and the rows that will answer it.

    `slot` is where its keys and values go; `done` tokens are there, and `last` will be after the piece under way.
    `kept` [layers, 2, key_heads, n, width] holds the first tokens' keys and values where they were computed before.
    """

    rows: list[Row]
    done: int = 0
    last: int = 0
    slot: int = 0
    kept: Tensor | None = None

    @property
    def prompt(self) -> Prompt:
        return self.rows[0].prompt

    @property
    def left(self) -> int:
        return len(self.prompt.ids) - self.done

    @property
    def answering(self) -> list[Row]:
        """The rows that go on after the prompt."""
        return [row for row in self.rows if row.sampling.max_new_tokens > 0]
