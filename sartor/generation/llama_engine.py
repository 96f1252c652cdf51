"""llama.cpp as the engine of the server: the requests, events and sampling of `engine.Engine`, its own arithmetic.

Every step is one batch: a token of each row that answers, filled up with pieces of the prompts that are being read, so
that a long prompt does not hold up running answers.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from sartor.base.errors import DataError
from sartor.generation.events import NO_TOKEN, Event
from sartor.generation.llama_context import LlamaContext
from sartor.generation.prompt_scores import PromptScoring
from sartor.generation.protocol import Sampling, TokenConstraint
from sartor.generation.rows import Prompt, Row
from sartor.generation.sampling import choose_tokens
from sartor.generation.text import TextStream

MAX_ROWS = 16  # assumed: a CPU gains little from more
MAX_CACHE_TOKENS = 16_384  # over all rows; all of it is taken at the start
BATCH_TOKENS = 512  # llama.cpp's own default for what it computes at once


@dataclass(eq=False)
class _Group:
    """Answers to one prompt. It is read once, into the first of `sequences`, of which each row gets one."""

    prompt: Prompt
    rows: list[Row]
    sequences: list[int] = field(default_factory=list)
    read: int = 0

    @property
    def needed(self) -> int:
        return sum(row.needed for row in self.rows)


@dataclass
class _Batch:
    """What is computed at once, and which of its tokens' logits are wanted."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)

    def put(self, tokens: Sequence[int], position: int, sequence: int, last: int) -> None:
        """Tokens of one sequence from `position` on; the logits behind the `last` ones are wanted."""
        self.tokens += tokens
        self.positions += range(position, position + len(tokens))
        self.sequences += [sequence] * len(tokens)
        self.wanted += range(len(self.tokens) - last, len(self.tokens))


class LlamaEngine:
    """Batched generation from a GGUF file; an adapter must be merged into it. `decode` turns ids into text, `stop_ids`
    end a reply. `close` gives the memory back."""

    def __init__(
        self,
        file: Path,
        decode: Callable[[Sequence[int]], str],
        stop_ids: set[int],
        max_rows: int = MAX_ROWS,
        cache_tokens: int = MAX_CACHE_TOKENS,
        threads: int | None = None,
    ):
        """UsageError without llama-cpp-python, DataError for a file that it cannot read."""
        self.decode, self.stop_ids, self.max_rows, self.cache_tokens = decode, stop_ids, max_rows, cache_tokens
        self.context = LlamaContext(file, cache_tokens, max_rows, BATCH_TOKENS, threads or torch.get_num_threads())
        self.max_context_tokens = min(self.context.trained_tokens, cache_tokens)
        self._waiting: deque[_Group] = deque()
        self._reading: list[_Group] = []
        self._active: list[tuple[Row, int]] = []  # each with its sequence
        self._free = list(range(max_rows))  # sequences
        self._next_id = 0

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._reading or self._active)

    @property
    def active(self) -> int:
        """How many requests are being read or answered."""
        return len(self._active) + sum(len(group.rows) for group in self._reading)

    @property
    def queued(self) -> int:
        """How many requests wait for room."""
        return sum(len(group.rows) for group in self._waiting)

    def add_group(
        self,
        prompt: Sequence[int],
        samplings: Sequence[Sampling],
        constraints: Sequence[TokenConstraint | None] | None = None,
        adapter: str | None = None,
        prompt_log_probs: int | None = None,
    ) -> list[int]:
        """As `Engine.add_group`. DataError for what does not fit the model's context, or for an adapter."""
        self._check(prompt, samplings, adapter, prompt_log_probs)
        scoring = None if prompt_log_probs is None else PromptScoring(prompt, prompt_log_probs)
        shared = Prompt(list(prompt), None, scoring)
        rows = [
            Row(self._next_id + place, shared, each, TextStream(self.decode, each.stop), random.Random(each.seed), own)
            for place, (each, own) in enumerate(zip(samplings, constraints or [None] * len(samplings), strict=True))
        ]
        self._next_id += len(rows)
        for start in range(0, len(rows), self.max_rows):
            self._waiting.append(_Group(shared, rows[start : start + self.max_rows]))
        return [row.request_id for row in rows]

    def _check(
        self, prompt: Sequence[int], samplings: Sequence[Sampling], adapter: str | None, prompt_log_probs: int | None
    ) -> None:
        new_tokens = max((each.max_new_tokens for each in samplings), default=0)
        if not prompt:
            raise DataError("the prompt is empty")
        if len(prompt) + new_tokens > self.max_context_tokens:
            raise DataError(
                f"the prompt has {len(prompt):,} tokens and the answer may have {new_tokens:,}; "
                f"the model reads {self.max_context_tokens:,}",
                hint="shorten the prompt or max_new_tokens",
            )
        if adapter is not None:
            raise DataError(f"there is no adapter {adapter}")
        if prompt_log_probs is None and any(each.max_new_tokens < 1 for each in samplings):
            raise DataError("an answer of no tokens is only for scoring the prompt", hint="raise max_new_tokens")
        vocabulary = self.context.num_tokens
        if any(not 0 <= token < vocabulary for token in prompt):
            raise DataError("the prompt holds a token that the model does not have")
        for token in (token for each in samplings for token, _ in each.logit_bias):
            if not 0 <= token < vocabulary:
                raise DataError(f"logit_bias: there is no token {token}", hint=f"ids are 0 to {vocabulary - 1:,}")

    def cancel(self, request_id: int) -> None:
        """Forget a request; its row makes room at once. One that is unknown or finished is no error."""
        for group in (*self._waiting, *self._reading):
            kept = [row for row in group.rows if row.request_id != request_id]
            while len(group.sequences) > max(1, len(kept)):  # what was read is in the first
                self._give_back(group.sequences.pop())
            group.rows = kept
        for group in [group for group in self._reading if not group.rows]:
            self._give_back(group.sequences.pop())
        self._waiting = deque(group for group in self._waiting if group.rows)
        self._reading = [group for group in self._reading if group.rows]
        for row, sequence in [each for each in self._active if each[0].request_id == request_id]:
            self._retire(row, sequence)

    def close(self) -> None:
        self.context.close()

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """One token for each row that answers, and pieces of the prompts that are read."""
        self._admit()
        batch = _Batch()
        answering = list(self._active)
        for row, sequence in answering:
            batch.put(row.tokens[-1:], row.length, sequence, last=1)
        pieces = [(group, self._put_piece(group, batch)) for group in self._reading]
        if not batch.tokens:
            return []
        found = self.context.decode(batch.tokens, batch.positions, batch.sequences, batch.wanted)
        logits = torch.from_numpy(found)
        for row, _ in answering:
            row.length += 1
        rows, places, events = [row for row, _ in answering], list(range(len(answering))), []
        place = len(answering)
        for group, (size, wanted) in pieces:
            events += self._take_piece(group, size, logits[place : place + wanted])
            place += wanted
            if group.read == len(group.prompt.ids):
                begun = self._begin(group)
                rows += begun
                places += [place - 1] * len(begun)
        return events + self._say(rows, logits[places])

    # --- prompts ------------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Let waiting groups in, in their order, as long as there are sequences and cells for all they may say."""
        taken = sum(row.needed for row, _ in self._active) + sum(group.needed for group in self._reading)
        while self._waiting:
            group = self._waiting[0]
            alone = not (self._active or self._reading)
            if len(group.rows) > len(self._free) or (taken + group.needed > self.cache_tokens and not alone):
                return
            if alone and group.needed > self.cache_tokens:
                group = self._split(group)
            self._waiting.popleft()
            group.sequences = [self._free.pop() for _ in group.rows]
            self._reading.append(group)
            taken += group.needed

    def _split(self, group: _Group) -> _Group:
        """The first of a group's rows, where the cache has no room for all of them; the others wait."""
        first = _Group(group.prompt, group.rows[:1])
        if len(group.rows) > 1:
            self._waiting.insert(1, _Group(group.prompt, group.rows[1:]))
        return first

    def _put_piece(self, group: _Group, batch: _Batch) -> tuple[int, int]:
        """Add the group's next piece to the batch; its size, and how many of its tokens' logits are wanted."""
        ids = group.prompt.ids[group.read : group.read + BATCH_TOKENS - len(batch.tokens)]
        wanted = len(ids) if group.prompt.to_be_scored else int(group.read + len(ids) == len(group.prompt.ids))
        wanted = min(wanted, len(ids))
        batch.put(ids, group.read, group.sequences[0], last=wanted)
        return len(ids), wanted

    def _take_piece(self, group: _Group, size: int, logits: Tensor) -> list[Event]:
        """Note that a piece was read; the events of rows that only wanted the prompt's scores."""
        prompt = group.prompt
        if size and prompt.to_be_scored and prompt.scoring is not None:
            prompt.scoring.add_logits(logits, group.read)
        group.read += size
        if group.read < len(prompt.ids):
            return []
        ended = [row for row in group.rows if row.sampling.max_new_tokens == 0]
        group.rows = [row for row in group.rows if row not in ended]
        return [row.event(NO_TOKEN, 0.0, "", "length") for row in ended]

    def _begin(self, group: _Group) -> list[Row]:
        """Let the rows of a prompt that is complete answer it, each in its sequence."""
        self._reading.remove(group)
        first, *others = group.sequences
        used = group.sequences[: len(group.rows)]
        for other in others[: max(0, len(used) - 1)]:
            self.context.copy(first, other)
        for sequence in group.sequences[len(used) :]:
            self._give_back(sequence)
        for row, sequence in zip(group.rows, used, strict=True):
            row.length = len(group.prompt.ids)
            self._active.append((row, sequence))
        return group.rows

    # --- answers ------------------------------------------------------------------------------------------------------

    def _say(self, rows: list[Row], logits: Tensor) -> list[Event]:
        """Choose the next token of each row from its logits [n, V]."""
        if not rows:
            return []
        for place, row in enumerate(rows):
            if not row.plain:
                row.adjust(logits[place])
        chosen = choose_tokens(logits, [row.sampling for row in rows], [row.random for row in rows])
        events = [
            row.advance(token, log_prob, top, self.stop_ids)
            for row, token, log_prob, top in zip(
                rows, chosen.tokens.tolist(), chosen.log_probs.tolist(), chosen.top, strict=True
            )
        ]
        ended = {event.request_id for event in events if event.finish is not None}
        for row, sequence in [each for each in self._active if each[0].request_id in ended]:
            self._retire(row, sequence)
        return events

    def _retire(self, row: Row, sequence: int) -> None:
        self._active.remove((row, sequence))
        self._give_back(sequence)

    def _give_back(self, sequence: int) -> None:
        self.context.forget(sequence)
        self._free.append(sequence)
