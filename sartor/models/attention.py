"""Exact attention for packed rows: every row sees itself and the prefix it shares with others, nothing else.

Rows of unequal length lie one after the other in one sequence, without padding. A row may have a *prefix*: an earlier
segment (a system prompt, the question of two rival answers) that is computed once and seen by all rows that begin with
it. Because attention is causal, the prefix's own states do not depend on what follows, so sharing it is exact.

The registered attention implementation hands queries, keys and values of a layer to the `layout` object that was passed
to the model's forward; training, prefill and decoding are three layouts with the same one method.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from sartor.base.console import warn
from sartor.base.errors import UsageError

IMPLEMENTATION = "sartor_packed"
OTHER_MODEL_HINT = "choose a model such as Llama, Qwen3, Gemma 3 or Mistral, whose layers are attention and MLP"
SCORES_AT_ONCE = 2**20  # measured: scores of so many query-key pairs stay in the processor's cache
FEWEST_QUERIES_AT_ONCE = 32
KEPT_TOKENS = 512  # rows that see more tokens do not keep their probabilities: they would take too much memory
PADDING_ALLOWED = 1.25  # rows of similar length are attended together when that pads them by at most this factor


@dataclass(frozen=True)
class AttentionRule:
    """What a layer's attention asks for: `scale` and `softcap` of scores, `window` tokens seen (None: all)."""

    scale: float
    window: int | None = None
    softcap: float | None = None


class Layout(Protocol):
    """How the tokens of one forward pass see each other."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """query [T, heads, D], key [T, key_heads, D], value [T, key_heads, V] -> [T, heads, V]."""
        ...


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    layout: Layout | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """The function transformers calls in each layer: query [1, heads, T, D] -> [1, T, heads, V]. The `dropout` that a
    model in training asks for is left out, which is said once. UsageError for what would be computed wrongly."""
    if s_aux is not None:
        raise not_computed("it has attention sinks")
    if attention_mask is not None:  # none is built for us, so this says more than who sees whom
        raise not_computed("its layers have attention masks of their own")
    if layout is None:
        raise not_computed("its layers are not told how rows are packed")
    if dropout:
        say_dropout_is_left_out(dropout)
    # None says that a layer among others with windows sees all: the configuration speaks where nothing is said.
    window = more["sliding_window"] if "sliding_window" in more else configured_window(module)
    rule = AttentionRule(scaling, window or None, softcap)
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    return layout.attend(int(module.layer_idx), query, key, value, rule)[None], None  # type: ignore[arg-type]


def not_computed(why: str) -> UsageError:
    return UsageError(f"this model cannot be computed here: {why}", hint=OTHER_MODEL_HINT)


def configured_window(module: torch.nn.Module) -> int | None:
    """The window of a layer whose type leaves it to the masks, of which none is built for us."""
    config: Any = getattr(module, "config", None)
    window: int | None = getattr(config, "sliding_window", None)
    if window is None:
        return None
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return window if kinds[module.layer_idx] == "sliding_attention" else None
    # Some configurations name a window that their type never builds into a mask.
    return window if hasattr(sys.modules[type(module).__module__], "create_sliding_window_causal_mask") else None


@cache
def say_dropout_is_left_out(share: float) -> None:
    """Once a process: every layer of every step asks for it."""
    warn(f"the model's own attention dropout of {share:g} is left out: packed rows are attended without it")


def register() -> None:
    """Make `IMPLEMENTATION` known to transformers. No mask is built for it, because the layout knows who sees whom."""
    from transformers import AttentionInterface

    AttentionInterface.register(IMPLEMENTATION, packed_attention)


# --- who sees whom ------------------------------------------------------------------------------------------------


class Segment(Protocol):
    """Tokens `start` to `end` of the packed sequence; `prefixes` are the earlier spans they continue, in order."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def prefixes(self) -> tuple[tuple[int, int], ...]: ...


def length_of(segment: Segment) -> int:
    return segment.end - segment.start


class Block:
    """Segments of similar length with the same prefixes, attended in one padded batch.

    `index` [N, L] holds positions in the packed sequence; padded places repeat the segment's last token, and
    `real` [N, L] is False there (None when nothing is padded). `context` [C] are the positions of the prefixes.
    """

    def __init__(self, segments: Sequence[Segment], device: torch.device):
        longest = max(length_of(segment) for segment in segments)
        starts = torch.tensor([segment.start for segment in segments])[:, None]
        lengths = torch.tensor([length_of(segment) for segment in segments])[:, None]
        steps = torch.arange(longest)[None]
        real = steps < lengths
        spans = [torch.arange(start, end) for start, end in segments[0].prefixes]
        self.index = (starts + torch.minimum(steps, lengths - 1)).to(device)
        self.real = None if bool(real.all()) else real.to(device)
        self.context = torch.cat(spans).to(device) if spans else None
        self._rows: dict[tuple[int, int], Tensor] = {}
        self._real_rows: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    @property
    def context_tokens(self) -> int:
        return 0 if self.context is None else len(self.context)

    def rows(self, heads: int, group: int) -> Tensor:
        """Places of [N, heads / group, group, L] in a tensor [T · heads, D]: computed once, used in every layer."""
        if (heads, group) not in self._rows:
            order = torch.arange(heads, device=self.index.device).view(-1, group)[None, :, :, None]
            self._rows[heads, group] = (self.index[:, None, None] * heads + order).flatten()
        return self._rows[heads, group]

    def real_rows(self, heads: int, group: int) -> tuple[Tensor | None, Tensor]:
        """Which of `rows` are real (None: all), and those rows: where results are written to."""
        places = self.rows(heads, group)
        if self.real is None:
            return None, places
        if (heads, group) not in self._real_rows:
            real = self.real[:, None].expand(-1, heads, -1).reshape(-1).nonzero()[:, 0]
            self._real_rows[heads, group] = (real, places[real])
        return self._real_rows[heads, group]

    def rows_with_context(self, heads: int) -> Tensor:
        """Places of [N, heads, C + L] in a tensor [T · heads, D], the prefixes in front."""
        if (heads, 0) not in self._rows:
            context = self.index[:, :0] if self.context is None else self.context.expand(len(self.index), -1)
            tokens = torch.cat((context, self.index), 1)
            order = torch.arange(heads, device=tokens.device)[None, :, None]
            self._rows[heads, 0] = (tokens[:, None] * heads + order).flatten()
        return self._rows[heads, 0]


def blocks_of(segments: Sequence[Segment], device: torch.device) -> list[Block]:
    """Group segments by prefix and by length so that padding stays under `PADDING_ALLOWED`."""
    blocks: list[Block] = []
    group: list[Segment] = []
    for segment in sorted(segments, key=lambda item: (item.prefixes, length_of(item), item.start)):
        if group:
            padded = length_of(segment) * (len(group) + 1)
            real = sum(length_of(item) for item in group) + length_of(segment)
            if segment.prefixes != group[0].prefixes or padded > PADDING_ALLOWED * real:
                blocks.append(Block(group, device))
                group = []
        group.append(segment)
    if group:
        blocks.append(Block(group, device))
    return blocks


class PackedLayout:
    """The layout of a training batch (and of scoring): differentiable."""

    def __init__(self, segments: Sequence[Segment], device: torch.device):
        self.blocks = blocks_of(segments, device)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        result: Tensor = _PackedAttention.apply(query, key, value, self.blocks, rule)  # type: ignore[no-untyped-call]
        return result


# --- the arithmetic -----------------------------------------------------------------------------------------------


def probabilities(query: Tensor, key: Tensor, context: int, first: int, rule: AttentionRule) -> Tensor:
    """softmax(query keyᵀ) of the queries `first ..` of each row, causal behind `context` tokens that all may see.

    query [N, K, G, L, D] (G query heads on each of K key heads), scaled already; key [N, K, S, D] with
    S = context + first + L -> [N, K, G, L, S].
    """
    rows, key_heads, group, length, width = query.shape
    scores = torch.matmul(query.reshape(rows, key_heads, group * length, width), key.transpose(-1, -2))
    scores = scores.view(rows, key_heads, group, length, key.shape[2])
    if rule.softcap:
        scores = torch.tanh(scores / rule.softcap) * rule.softcap
    own = context + first
    scores[..., own:].masked_fill_(future(length, key.device), float("-inf"))
    if rule.window is not None and own + length > rule.window:
        scores.masked_fill_(outside_window(own, length, rule.window, key.device), float("-inf"))
    return torch.softmax(scores, -1)


@lru_cache(maxsize=64)
def future(length: int, device: torch.device) -> Tensor:
    """[length, length], True where a key comes after the query."""
    return torch.ones(length, length, dtype=torch.bool, device=device).triu_(1)


def outside_window(seen: int, length: int, window: int, device: torch.device) -> Tensor:
    """[length, seen + length], True where a key lies `window` or more tokens before the query."""
    query_position = torch.arange(seen, seen + length, device=device)[:, None]
    return torch.arange(seen + length, device=device)[None] <= query_position - window


def gathered(tensor: Tensor, places: Tensor) -> Tensor:
    """Rows of [T, H, D], seen as [T · H, D], in one pass over memory."""
    return tensor.reshape(-1, tensor.shape[-1]).index_select(0, places)


def heads_first(tensor: Tensor, block: Block) -> Tensor:
    """[T, H, D] -> [N, H, L, D], the rows of the block."""
    rows, length = block.index.shape
    heads, width = tensor.shape[1:]
    return gathered(tensor, block.rows(heads, 1)).view(rows, heads, length, width)


def with_context(tensor: Tensor, block: Block) -> Tensor:
    """Keys or values [T, K, D] of the block's rows with those of its prefixes in front: [N, K, C + L, D]."""
    heads, width = tensor.shape[1:]
    return gathered(tensor, block.rows_with_context(heads)).view(len(block.index), heads, -1, width)


def query_groups(query: Tensor, block: Block, key_heads: int) -> Tensor:
    """[T, H, D] -> [N, K, G, L, D]: query heads next to the key head they read."""
    rows, length = block.index.shape
    heads, width = query.shape[1:]
    group = heads // key_heads
    return gathered(query, block.rows(heads, group)).view(rows, key_heads, group, length, width)


def query_chunks(query: Tensor, context: int) -> list[tuple[int, int]]:
    """Ranges of query places to attend at a time, of [N, K, G, L, D]: few enough to stay in cache and to skip most of
    the future, which causal attention never looks at."""
    rows, key_heads, group, length, _ = query.shape
    step = max(FEWEST_QUERIES_AT_ONCE, SCORES_AT_ONCE // (rows * key_heads * group * (context + length)))
    return [(start, min(start + step, length)) for start in range(0, length, step)]


def attend_block(
    query: Tensor, key: Tensor, value: Tensor, context: int, rule: AttentionRule, kept: list[Tensor] | None = None
) -> Tensor:
    """query [N, K, G, L, D], key [N, K, context + L, D], value [.., V] -> [N, K, G, L, V], chunk by chunk of queries.

    The chunks' probabilities [N, K, G · l, S] are put into `kept`.
    """
    rows, key_heads, group, length, _ = query.shape
    width = value.shape[-1]
    result = torch.empty((*query.shape[:-1], width), dtype=query.dtype, device=query.device)
    query = query * rule.scale
    for first, last in query_chunks(query, context):
        seen = context + last
        weights = probabilities(query[..., first:last, :], key[:, :, :seen], context, first, rule)
        weights = weights.view(rows, key_heads, -1, seen)
        mixed = torch.matmul(weights, value[:, :, :seen])
        result[..., first:last, :] = mixed.view(rows, key_heads, group, last - first, width)
        if kept is not None:
            kept.append(weights)
    return result


class _PackedAttention(torch.autograd.Function):
    """Saves queries, keys, values and the result; probabilities of long rows are computed again for the gradient
    (as FlashAttention does, 2205.14135, appendix B), so memory grows with tokens, not with their square."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: list[Block], rule: AttentionRule
    ) -> Tensor:
        result = torch.empty((*query.shape[:2], value.shape[2]), dtype=query.dtype, device=query.device)
        keeping = any(ctx.needs_input_grad[:3])
        kept: list[list[Tensor]] = []
        for block in blocks:
            queries = query_groups(query, block, key.shape[1])
            keys, values = with_context(key, block), with_context(value, block)
            kept.append([])
            keep = kept[-1] if keeping and keys.shape[2] <= KEPT_TOKENS else None
            # A padded place repeats a real token with that token's own query and later keys than it may see, so
            # only the real places are written.
            write(result, attend_block(queries, keys, values, block.context_tokens, rule, keep), block)
        # Through save_for_backward, all of them: only so does activation checkpointing let them go.
        ctx.save_for_backward(query, key, value, result, *(weights for each in kept for weights in each))
        ctx.blocks, ctx.rule, ctx.num_kept = blocks, rule, [len(each) for each in kept]
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        query, key, value, result, *saved = ctx.saved_tensors
        kept = [[saved.pop(0) for _ in range(number)] for number in ctx.num_kept]
        grad_query = torch.empty_like(query, memory_format=torch.contiguous_format)
        grad_key, grad_value = (
            torch.empty(each.shape, dtype=torch.float32, device=key.device) for each in (key, value)
        )
        # Blocks with less context first: what a prefix gets from the rows behind it is added to its own share.
        blocks = sorted(zip(ctx.blocks, kept, strict=True), key=lambda pair: pair[0].context_tokens)
        for block, probabilities in blocks:
            _backward_block(
                block, ctx.rule, probabilities, (query, key, value, result, grad), (grad_query, grad_key, grad_value)
            )
        return grad_query, grad_key.to(key.dtype), grad_value.to(value.dtype), None, None


def write(target: Tensor, rows: Tensor, block: Block) -> None:
    """Put `rows` [N, K, G, L, D] at the block's real positions of the contiguous `target` [T, K · G, D]."""
    heads, width = target.shape[1:]
    real, places = block.real_rows(heads, rows.shape[2])
    rows = rows.reshape(-1, width)
    target.view(-1, width).index_copy_(0, places, rows if real is None else rows[real])


def _backward_block(
    block: Block,
    rule: AttentionRule,
    kept: Sequence[Tensor],
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, Tensor, Tensor],
) -> None:
    query, key, value, result, grad = inputs
    grad_query, grad_key, grad_value = outputs
    key_heads, context = key.shape[1], block.context_tokens
    keys, values = with_context(key, block), with_context(value, block)
    queries = query_groups(query, block, key_heads).mul_(rule.scale)
    grads = query_groups(grad, block, key_heads)
    if block.real is not None:
        grads.mul_(block.real[:, None, None, :, None])
    # rowsum(dO * O), the term that the softmax's own derivative needs
    inner = (grads * query_groups(result, block, key_heads)).sum(-1, keepdim=True, dtype=torch.float32).to(grads.dtype)
    rows, _, group, length, width = queries.shape
    query_out = torch.empty(queries.shape, dtype=query.dtype, device=query.device)
    key_out, value_out = (
        torch.zeros(each.shape, dtype=torch.float32, device=key.device) for each in (keys, values)
    )
    for number, (first, last) in enumerate(query_chunks(queries, context)):
        seen = context + last
        chunk = slice(first, last)
        flat = (rows, key_heads, group * (last - first), -1)
        chunk_query, chunk_grad = queries[..., chunk, :].reshape(flat), grads[..., chunk, :].reshape(flat)
        if not kept:
            weights = probabilities(queries[..., chunk, :], keys[:, :, :seen], context, first, rule).view(flat)
        else:
            weights = kept[number]
        value_out[:, :, :seen] += torch.matmul(weights.transpose(-1, -2), chunk_grad)
        score_grad = torch.matmul(chunk_grad, values[:, :, :seen].transpose(-1, -2))
        score_grad = score_grad.sub_(inner[..., chunk, :].reshape(flat)).mul_(weights)
        if rule.softcap:
            score_grad *= softcap_slope(chunk_query, keys[:, :, :seen], rule.softcap)
        query_out[..., chunk, :] = torch.matmul(score_grad, keys[:, :, :seen]).view(rows, key_heads, group, -1, width)
        key_out[:, :, :seen] += torch.matmul(score_grad.transpose(-1, -2), chunk_query)
    write(grad_query, query_out.mul_(rule.scale), block)
    for target, block_grad in ((grad_key, key_out), (grad_value, value_out)):
        write(target, block_grad[:, :, context:].unsqueeze(2), block)
        if block.context is not None:
            target[block.context] += block_grad[:, :, :context].sum(0).transpose(0, 1)


def softcap_slope(query: Tensor, key: Tensor, cap: float) -> Tensor:
    """d softcap(s) / d s = 1 - tanh²(s / cap) at the scores s of scaled queries [N, K, GL, D] and keys [N, K, S, D]."""
    capped = torch.tanh(torch.matmul(query, key.transpose(-1, -2)) / cap)
    return 1 - capped * capped
