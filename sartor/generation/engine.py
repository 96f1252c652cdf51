"""The one generation engine: waiting prompts are run together, every step adds a token to each active row, and rows
leave as soon as they are finished, making room for the next.

It knows tokens, not conversations; callers render and read. Single-threaded: whoever owns it calls `add` and `step`.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sartor.adapters.row_adapters import RowAdapters
from sartor.base.errors import DataError
from sartor.data.packing import Span
from sartor.generation.cache import Cache, DecodeLayout, PrefillLayout, PrefixLayout
from sartor.generation.cache_shape import cache_shape
from sartor.generation.events import NO_TOKEN, Event
from sartor.generation.prefix_cache import PrefixCache
from sartor.generation.prompt_scores import PromptScoring
from sartor.generation.protocol import Sampling, TokenConstraint
from sartor.generation.rows import Prompt, Reading, Row
from sartor.generation.sampling import choose_tokens
from sartor.generation.text import TextStream
from sartor.models.forward import hidden_states
from sartor.models.heads import Head

MAX_ROWS = 64  # measured on a CPU: more rows at once gain little and cost memory
MAX_CACHE_TOKENS = 65_536  # over all rows; the starter needs 23 KB a token
PREFILL_TOKENS = 4_096  # prompts run together, so that attention and activations stay small
PIECE_TOKENS = 256  # of prompts between two decoding steps: about a third of a second of the starter on two cores


class Engine:
    """Batched generation for one model. `decode` turns ids into text (nobody reads it: one that gives ""), `stop_ids`
    end a reply.

    `live` is for answers that are read while they are written: prompts are read in pieces between decoding steps, so
    that a long one does not hold up the others, and keys and values are kept for prompts that begin alike (at most
    `kept_tokens`). Otherwise all prompts are read first, which is quicker for a batch.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        decode: Callable[[Sequence[int]], str],
        stop_ids: set[int],
        max_context_tokens: int,
        max_rows: int = MAX_ROWS,
        max_cache_tokens: int = MAX_CACHE_TOKENS,
        live: bool = False,
        kept_tokens: int = 0,
    ):
        self.model, self.decode, self.stop_ids = model.eval(), decode, stop_ids
        self.max_context_tokens, self.max_rows, self.max_cache_tokens = max_context_tokens, max_rows, max_cache_tokens
        self.live = live
        self.head = Head.of(model)
        self.cache = Cache(cache_shape(model))
        self.prefix_cache = PrefixCache(kept_tokens)
        self.adapters = RowAdapters(model)
        self._prefix: list[int] = []
        self._prefix_adapter: str | None = None
        self._waiting: deque[Row] = deque()
        self._active: list[Row] = []  # row i is in slot i of the cache
        self._reading: Reading | None = None  # the prompt that is partly read, in the slot behind theirs
        self._decodes_next = False
        self._next_id = 0

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._active or self._reading)

    @property
    def active(self) -> int:
        """How many requests are being read or answered."""
        return len(self._active) + (0 if self._reading is None else len(self._reading.rows))

    @property
    def queued(self) -> int:
        """How many requests wait for room."""
        return len(self._waiting)

    def add_adapter(self, name: str, folder: Path) -> None:
        """Load a LoRA adapter that requests can ask for by name; errors as `RowAdapters.add`."""
        self.adapters.add(name, folder)

    @torch.inference_mode()
    def share(self, prefix: Sequence[int], adapter: str | None = None) -> None:
        """Compute the beginning that all coming prompts have in common once. Only while nothing is under way;
        also forgets what was computed before, as it must be after the weights have changed."""
        assert not self.has_work, "the shared prefix can only change between batches"
        self.cache.clear()
        self.prefix_cache.clear()
        self._prefix, self._prefix_adapter = list(prefix), adapter
        if self._prefix:
            length = len(self._prefix)
            self.adapters.select([adapter], [length])
            self._run(self._prefix, range(length), PrefixLayout(self.cache, length))

    def add(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        constraint: TokenConstraint | None = None,
        adapter: str | None = None,
        prompt_log_probs: int | None = None,
    ) -> int:
        """Queue a prompt; its id marks its events. DataError when it cannot fit the model's context, or asks for what
        there is not."""
        return self.add_group(prompt, [sampling], [constraint], adapter, prompt_log_probs)[0]

    def add_group(
        self,
        prompt: Sequence[int],
        samplings: Sequence[Sampling],
        constraints: Sequence[TokenConstraint | None] | None = None,
        adapter: str | None = None,
        prompt_log_probs: int | None = None,
    ) -> list[int]:
        """Queue several answers to one prompt, each a request of its own: what they say is what they would say had
        they been added one by one, but those that start together compute the prompt once. Ids and errors as `add`.

        `prompt_log_probs`: the first event of each says how likely the prompt's tokens are, with so many of the
        likeliest in each place. An answer of 0 tokens is for that alone: its only event has no token.
        """
        self._check(prompt, samplings, adapter, prompt_log_probs)
        ids = list(prompt[len(self._prefix) :])
        scoring = None if prompt_log_probs is None else PromptScoring(ids, prompt_log_probs)
        shared = Prompt(ids, adapter, scoring)
        rows = [
            Row(self._next_id + place, shared, each, TextStream(self.decode, each.stop), random.Random(each.seed), own)
            for place, (each, own) in enumerate(zip(samplings, constraints or [None] * len(samplings), strict=True))
        ]
        self._next_id += len(rows)
        self._waiting += rows
        return [row.request_id for row in rows]

    def _check(
        self, prompt: Sequence[int], samplings: Sequence[Sampling], adapter: str | None, prompt_log_probs: int | None
    ) -> None:
        new_tokens = max((each.max_new_tokens for each in samplings), default=0)
        if len(prompt) + new_tokens > self.max_context_tokens:
            raise DataError(
                f"the prompt has {len(prompt):,} tokens and the answer may have {new_tokens:,}; "
                f"the model reads {self.max_context_tokens:,}",
                hint="shorten the prompt or max_new_tokens",
            )
        shared = len(self._prefix)
        if not prompt:
            raise DataError("the prompt is empty")
        if (
            list(prompt[:shared]) != self._prefix
            or len(prompt) <= shared
            or (shared and adapter != self._prefix_adapter)
        ):
            raise DataError("the prompt does not begin with the shared prefix")
        if adapter is not None and adapter not in self.adapters:
            raise DataError(f"there is no adapter {adapter}")
        if prompt_log_probs is None:
            if any(each.max_new_tokens < 1 for each in samplings):
                raise DataError("an answer of no tokens is only for scoring the prompt", hint="raise max_new_tokens")
        elif shared:
            raise DataError("the tokens of a shared prefix cannot be scored")
        vocabulary = len(self.head.weight)
        for token in (token for each in samplings for token, _ in each.logit_bias):
            if not 0 <= token < vocabulary:
                raise DataError(f"logit_bias: there is no token {token}", hint=f"ids are 0 to {vocabulary - 1:,}")

    def cancel(self, request_id: int) -> None:
        """Forget a request; its row makes room at once. One that is unknown or finished is no error."""
        self._waiting = deque(row for row in self._waiting if row.request_id != request_id)
        if self._reading is not None:
            self._reading.rows = [row for row in self._reading.rows if row.request_id != request_id]
            if not self._reading.rows:
                self._reading = None
        for place, row in enumerate(self._active):
            if row.request_id == request_id:
                self._retire(place)
                break

    def clear(self) -> None:
        """Forget all requests, the shared prefix and what was kept, and give the cache's memory back."""
        self._waiting.clear()
        self._active.clear()
        self._reading = None
        self.share(())

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Run the next prompts that fit, or pieces of them, else one decoding step for all active rows. A live engine
        decodes after every piece."""
        if not (self._decodes_next and self._active):
            readings = self._next_readings()
            if readings:
                self._decodes_next = self.live
                return self._read(readings)
        self._decodes_next = False
        return self._say(self._active, self._decode_step()) if self._active else []

    # --- reading prompts ------------------------------------------------------------------------------------------

    def _next_readings(self) -> list[Reading]:
        """What the next piece consists of: the prompt that was begun, then waiting ones that fit as a whole. Only a
        prompt that has a piece for itself is cut."""
        room = PIECE_TOKENS if self.live else PREFILL_TOKENS
        readings: list[Reading] = []
        rows = list(self._active)
        if self._reading is not None:
            readings.append(self._reading)
            rows += self._reading.rows
            room = self._take(self._reading, room)
        while self._waiting and self._fits([*rows, self._waiting[0]]):
            row = self._waiting[0]
            if readings and readings[-1].prompt is row.prompt:
                readings[-1].rows.append(row)
            else:
                reading = Reading([row])
                if readings and (room == 0 or len(row.prompt.ids) > room):
                    break
                self._recall(reading)
                readings.append(reading)
                room = self._take(reading, room)
            rows.append(self._waiting.popleft())
        return readings

    def _fits(self, rows: Sequence[Row]) -> bool:
        return len(rows) == 1 or (
            len(rows) <= self.max_rows and len(rows) * max(row.needed for row in rows) <= self.max_cache_tokens
        )

    def _take(self, reading: Reading, room: int) -> int:
        """Plan the reading's next piece; how much room is left behind it."""
        taken = min(reading.left, room)
        reading.last = reading.done + taken
        return room - taken

    def _recall(self, reading: Reading) -> None:
        """Begin with what is kept of an earlier prompt, where nothing but the answer is asked for."""
        prompt = reading.prompt
        if self._keeps and not prompt.to_be_scored:
            reading.kept = self.prefix_cache.find(prompt.adapter, prompt.ids)
            if reading.kept is not None:
                reading.done = reading.kept.shape[3]

    @property
    def _keeps(self) -> bool:
        return self.live and self.prefix_cache.max_tokens > 0 and not self._prefix

    def _read(self, readings: list[Reading]) -> list[Event]:
        """Run a piece; the rows whose prompts are complete say their first token."""
        states, spans = self._prefill(readings)
        ends: list[int] = []
        rows: list[Row] = []
        events: list[Event] = []
        self._reading = None
        for reading, span in zip(readings, spans, strict=True):
            prompt = reading.prompt
            if prompt.to_be_scored and prompt.scoring is not None:
                prompt.scoring.add(states[span.start : span.end], reading.done, self.head)
            reading.done = reading.last
            if reading.left:
                self._reading = reading
                break
            self._keep(prompt.adapter, prompt.ids, reading.slot)
            self._begin(reading)
            rows += reading.answering
            ends += [span.end - 1] * len(reading.answering)
            events += [row.event(NO_TOKEN, 0.0, "", "length") for row in reading.rows if row not in reading.answering]
        if rows:
            events += self._say(rows, states[torch.tensor(ends, device=states.device)])
        return events

    def _prefill(self, readings: list[Reading]) -> tuple[Tensor, list[Span]]:
        """Run the next piece of each prompt -> hidden states [T, d] and where each prompt's are."""
        shared = len(self._prefix)
        self._make_room(readings)
        ids: list[int] = []
        positions: list[int] = []
        spans: list[Span] = []
        for reading in readings:
            spans.append(Span(len(ids), len(ids) + reading.last - reading.done))
            ids += reading.prompt.ids[reading.done : reading.last]
            positions += range(shared + reading.done, shared + reading.last)
        slots, done = [reading.slot for reading in readings], [reading.done for reading in readings]
        self.adapters.select(
            [reading.prompt.adapter for reading in readings], [span.end - span.start for span in spans]
        )
        return self._run(ids, positions, PrefillLayout(self.cache, spans, slots, done)), spans

    def _make_room(self, readings: list[Reading]) -> None:
        """Give each prompt a slot behind the active rows, with room for all its rows behind it."""
        slot = len(self._active)
        for reading in readings:
            reading.slot = slot
            slot += max(1, len(reading.answering))
        longest = max(len(reading.prompt.ids) for reading in readings)
        longest = max(longest, *(row.length for row in self._active)) if self._active else longest
        if not self._reading:
            self.cache.shrink(
                max(row.needed for row in [*self._active, *(row for each in readings for row in each.rows)])
            )
        self.cache.reserve(slot, longest + 1)
        for reading in readings:
            if reading.kept is not None:
                self.cache.put(reading.kept, reading.slot)
                reading.kept = None

    def _begin(self, reading: Reading) -> None:
        """Let the rows of a prompt that is complete go on from it, in the slots behind the active ones."""
        for row in reading.answering:
            row.length = len(reading.prompt.ids)
            self.cache.copy(reading.slot, len(self._active), row.length)
            self._active.append(row)

    def _keep(self, adapter: str | None, ids: Sequence[int], slot: int) -> None:
        if self._keeps:
            self.prefix_cache.keep(adapter, ids, self.cache.row(slot, len(ids)))

    # --- saying tokens --------------------------------------------------------------------------------------------

    def _say(self, rows: list[Row], states: Tensor) -> list[Event]:
        """Choose the next token of each of these rows, the last of the active ones, from their states [n, d]."""
        logits = self.head.logits(states)
        for place, row in enumerate(rows):
            if not row.plain:
                row.adjust(logits[place])
        chosen = choose_tokens(logits, [row.sampling for row in rows], [row.random for row in rows])
        first = len(self._active) - len(rows)
        events = [
            row.advance(token, log_prob, top, self.stop_ids)
            for row, token, log_prob, top in zip(
                rows, chosen.tokens.tolist(), chosen.log_probs.tolist(), chosen.top, strict=True
            )
        ]
        for place in reversed(range(len(events))):
            if events[place].finish is not None:
                self._retire(first + place)
        return events

    def _decode_step(self) -> Tensor:
        rows = self._active
        lengths = torch.tensor([row.length for row in rows])
        behind = 0 if self._reading is None else 1  # what is read of a prompt by now has a slot as well
        self.cache.reserve(len(rows) + behind, int(lengths.max()) + 1)
        self.adapters.select([row.prompt.adapter for row in rows], [1] * len(rows))
        states = self._run(
            [row.tokens[-1] for row in rows],
            (lengths + len(self._prefix)).tolist(),
            DecodeLayout(self.cache, lengths.to(self.cache.shape.device)),
        )
        for row in rows:
            row.length += 1
        return states

    def _retire(self, place: int) -> None:
        row, last = self._active[place], len(self._active) - 1
        self._keep(row.prompt.adapter, (row.prompt.ids + row.tokens)[: row.length], place)
        self.cache.copy(last, place, self._active[last].length)
        self._active[place] = self._active[last]
        self._active.pop()
        if self._reading is not None:
            self.cache.copy(last + 1, last, self._reading.done)

    def _run(
        self, ids: Sequence[int], positions: Sequence[int], layout: PrefixLayout | PrefillLayout | DecodeLayout
    ) -> Tensor:
        device = self.cache.shape.device
        return hidden_states(
            self.model, torch.tensor(ids, device=device), torch.tensor(list(positions), device=device), layout
        )
