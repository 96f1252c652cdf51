"""The one generation engine: waiting prompts are run together, every step adds a token to each active row, and rows
leave as soon as they are finished, making room for the next.

It knows tokens, not conversations; callers render and read. Single-threaded: whoever owns it calls `add` and `step`.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sartor.base.errors import DataError
from sartor.data.packing import Span
from sartor.generation.cache import Cache, CacheShape, DecodeLayout, PrefillLayout, PrefixLayout
from sartor.generation.protocol import Sampling
from sartor.generation.sampling import choose_tokens
from sartor.generation.text import TextStream
from sartor.models.forward import hidden_states
from sartor.models.heads import Head

MAX_ROWS = 64  # measured on a CPU: more rows at once gain little and cost memory
MAX_CACHE_TOKENS = 65_536  # over all rows; the starter needs 23 KB a token
PREFILL_TOKENS = 4_096  # prompts run together, so that attention and activations stay small


@dataclass(frozen=True)
class Event:
    """One new token of a request; `text` is what became safe to show, `finish` is stop, length or None."""

    request_id: int
    token_id: int
    log_prob: float
    text: str
    finish: str | None


@dataclass
class _Row:
    request_id: int
    prompt: list[int]
    sampling: Sampling
    stream: TextStream
    random: random.Random
    tokens: list[int] = field(default_factory=list)
    length: int = 0  # tokens in the cache behind the shared prefix

    @property
    def needed(self) -> int:
        return len(self.prompt) + self.sampling.max_new_tokens


class Engine:
    """Batched generation for one model. `decode` turns ids into text (nobody reads it: one that gives ""), `stop_ids`
    end a reply."""

    def __init__(
        self,
        model: PreTrainedModel,
        decode: Callable[[Sequence[int]], str],
        stop_ids: set[int],
        max_context_tokens: int,
        max_rows: int = MAX_ROWS,
        max_cache_tokens: int = MAX_CACHE_TOKENS,
    ):
        self.model, self.decode, self.stop_ids = model.eval(), decode, stop_ids
        self.max_context_tokens, self.max_rows, self.max_cache_tokens = max_context_tokens, max_rows, max_cache_tokens
        self.head = Head.of(model)
        self.cache = Cache(cache_shape(model))
        self._prefix: list[int] = []
        self._waiting: deque[_Row] = deque()
        self._active: list[_Row] = []
        self._next_id = 0

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._active)

    @torch.inference_mode()
    def share(self, prefix: Sequence[int]) -> None:
        """Compute the beginning that all coming prompts have in common once. Only while nothing is under way;
        also forgets what was computed before, as it must be after the weights have changed."""
        assert not self.has_work, "the shared prefix can only change between batches"
        self.cache.clear()
        self._prefix = list(prefix)
        if self._prefix:
            self._run(self._prefix, range(len(self._prefix)), PrefixLayout(self.cache, len(self._prefix)))

    def add(self, prompt: Sequence[int], sampling: Sampling) -> int:
        """Queue a prompt; its id marks its events. DataError when it cannot fit the model's context."""
        return self.add_group(prompt, [sampling])[0]

    def add_group(self, prompt: Sequence[int], samplings: Sequence[Sampling]) -> list[int]:
        """Queue several answers to one prompt, each a request of its own: what they say is what they would say had
        they been added one by one, but those that start together compute the prompt once. Ids and errors as `add`."""
        new_tokens = max((each.max_new_tokens for each in samplings), default=0)
        if len(prompt) + new_tokens > self.max_context_tokens:
            raise DataError(
                f"the prompt has {len(prompt):,} tokens and the answer may have {new_tokens:,}; "
                f"the model reads {self.max_context_tokens:,}",
                hint="shorten the prompt or max_new_tokens",
            )
        shared = len(self._prefix)
        if list(prompt[:shared]) != self._prefix or len(prompt) <= shared:
            raise DataError("the prompt does not begin with the shared prefix")
        own = list(prompt[shared:])
        rows = [
            _Row(self._next_id + place, own, each, TextStream(self.decode, each.stop), random.Random(each.seed))
            for place, each in enumerate(samplings)
        ]
        self._next_id += len(rows)
        self._waiting += rows
        return [row.request_id for row in rows]

    def cancel(self, request_id: int) -> None:
        """Forget a request; its row makes room at once."""
        self._waiting = deque(row for row in self._waiting if row.request_id != request_id)
        for place, row in enumerate(self._active):
            if row.request_id == request_id:
                self._retire(place)
                break

    def clear(self) -> None:
        """Forget all requests and the shared prefix, and give the cache's memory back."""
        self._waiting.clear()
        self._active.clear()
        self.share(())

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Run the next prompts that fit, else one decoding step for all active rows."""
        admitted = self._admit()
        if admitted:
            states = self._prefill(admitted)
            rows = admitted
        elif self._active:
            states = self._decode_step()
            rows = self._active
        else:
            return []
        tokens, log_probs = choose_tokens(
            self.head.logits(states), [row.sampling for row in rows], [row.random for row in rows]
        )
        first = len(self._active) - len(rows)
        events = [
            self._advance(row, token, log_prob)
            for row, token, log_prob in zip(rows, tokens.tolist(), log_probs.tolist(), strict=True)
        ]
        for place in reversed(range(len(events))):
            if events[place].finish is not None:
                self._retire(first + place)
        return events

    # --- rows in and out ------------------------------------------------------------------------------------------

    def _admit(self) -> list[_Row]:
        admitted: list[_Row] = []
        tokens = 0
        while self._waiting and len(self._active) + len(admitted) < self.max_rows:
            row = self._waiting[0]
            rows = [*self._active, *admitted, row]
            full = len(rows) * max(item.needed for item in rows) > self.max_cache_tokens
            new_tokens = 0 if _same_prompt(admitted, row) else len(row.prompt)
            if (full and len(rows) > 1) or (admitted and tokens + new_tokens > PREFILL_TOKENS):
                break
            admitted.append(self._waiting.popleft())
            tokens += new_tokens
        return admitted

    def _retire(self, place: int) -> None:
        last = len(self._active) - 1
        self.cache.copy(last, place, self._active[last].length)
        self._active[place] = self._active[last]
        self._active.pop()

    def _advance(self, row: _Row, token: int, log_prob: float) -> Event:
        row.tokens.append(token)
        finish = None
        if token in self.stop_ids:
            text, finish = row.stream.finish(), "stop"
        else:
            text = row.stream.push(token)
            if row.stream.stopped:
                finish = "stop"
            elif len(row.tokens) >= row.sampling.max_new_tokens:
                text, finish = text + row.stream.finish(), "length"
        return Event(row.request_id, token, log_prob, text, finish)

    # --- forward passes -------------------------------------------------------------------------------------------

    def _prefill(self, rows: list[_Row]) -> Tensor:
        """Run the rows' prompts, that of a group once -> the last state of each row [n, d]."""
        shared, first = len(self._prefix), len(self._active)
        ids: list[int] = []
        positions: list[int] = []
        spans: list[Span] = []
        slots: list[int] = []  # of the rows whose prompts are run
        prompts: list[int] = []  # which of the spans is each row's prompt
        for place, row in enumerate(rows):
            if not _same_prompt(rows[:place], row):
                spans.append(Span(len(ids), len(ids) + len(row.prompt)))
                slots.append(first + place)
                ids += row.prompt
                positions += range(shared, shared + len(row.prompt))
            prompts.append(len(spans) - 1)
            row.length = len(row.prompt)
        self._active += rows
        self.cache.reserve(len(self._active), max(row.length for row in self._active) + 1)
        states = self._run(ids, positions, PrefillLayout(self.cache, spans, slots))
        for place, prompt in enumerate(prompts):
            self.cache.copy(slots[prompt], first + place, rows[place].length)
        return states[torch.tensor([spans[prompt].end - 1 for prompt in prompts], device=states.device)]

    def _decode_step(self) -> Tensor:
        rows = self._active
        lengths = torch.tensor([row.length for row in rows])
        self.cache.reserve(len(rows), int(lengths.max()) + 1)
        states = self._run(
            [row.tokens[-1] for row in rows],
            (lengths + len(self._prefix)).tolist(),
            DecodeLayout(self.cache, lengths.to(self.cache.shape.device)),
        )
        for row in rows:
            row.length += 1
        return states

    def _run(
        self, ids: Sequence[int], positions: Sequence[int], layout: PrefixLayout | PrefillLayout | DecodeLayout
    ) -> Tensor:
        device = self.cache.shape.device
        return hidden_states(
            self.model, torch.tensor(ids, device=device), torch.tensor(list(positions), device=device), layout
        )


def _same_prompt(before: Sequence[_Row], row: _Row) -> bool:
    """Whether the row answers the prompt of the row in front of it: rows of a group stand together and share the very
    list of tokens."""
    return bool(before) and before[-1].prompt is row.prompt


def cache_shape(model: PreTrainedModel) -> CacheShape:
    """The sizes of one token's keys and values in this model."""
    config = model.config
    heads = config.num_attention_heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    weight = model.get_output_embeddings().weight
    return CacheShape(config.num_hidden_layers, key_heads, width, weight.dtype, weight.device)
