"""Exact attention for packed rows: every row sees itself and the prefix it shares with others, nothing else.

Rows of unequal length lie one after the other in one sequence, without padding. A row may have a *prefix*: an earlier
segment (a system prompt, the question of two rival answers) that is computed once and seen by all rows that begin with
it. Because attention is causal, the prefix's own states do not depend on what follows, so sharing it is exact.

The registered attention implementation hands queries, keys and values of a layer to the `layout` object that was passed
to the model's forward; training, prefill and decoding are three layouts with the same one method.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

IMPLEMENTATION = "sartor_packed"
SCORES_AT_ONCE = 2**20  # measured: scores of so many query-key pairs stay in the processor's cache
FEWEST_QUERIES_AT_ONCE = 32
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
        """query [T, heads, D], key and value [T, key_heads, D] -> [T, heads, D]."""
        ...


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    layout: Layout,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The function transformers calls in each layer: query [1, heads, T, D] -> [1, T, heads, D]."""
    if dropout:
        raise ValueError("attention dropout is not supported by packed attention; use LoRA dropout")
    rule = AttentionRule(scaling, sliding_window or getattr(module, "sliding_window", None), softcap)
    query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    return layout.attend(int(module.layer_idx), query, key, value, rule)[None], None  # type: ignore[arg-type]


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


@dataclass(frozen=True)
class Block:
    """Segments of similar length with the same prefixes, attended in one padded batch.

    `index` [N, L] holds positions in the packed sequence; padded places repeat the segment's last token, and
    `real` [N, L] is False there (None when nothing is padded).
    """

    index: Tensor
    real: Tensor | None
    context: Tensor | None  # [C] positions of the prefixes

    @staticmethod
    def of(segments: Sequence[Segment], device: torch.device) -> "Block":
        longest = max(length_of(segment) for segment in segments)
        starts = torch.tensor([segment.start for segment in segments])[:, None]
        lengths = torch.tensor([length_of(segment) for segment in segments])[:, None]
        steps = torch.arange(longest)[None]
        real = steps < lengths
        index = starts + torch.minimum(steps, lengths - 1)
        spans = [torch.arange(start, end) for start, end in segments[0].prefixes]
        context = torch.cat(spans).to(device) if spans else None
        return Block(index.to(device), None if bool(real.all()) else real.to(device), context)


def blocks_of(segments: Sequence[Segment], device: torch.device) -> list[Block]:
    """Group segments by prefix and by length so that padding stays under `PADDING_ALLOWED`."""
    blocks: list[Block] = []
    group: list[Segment] = []
    for segment in sorted(segments, key=lambda item: (item.prefixes, length_of(item), item.start)):
        if group:
            padded = length_of(segment) * (len(group) + 1)
            real = sum(length_of(item) for item in group) + length_of(segment)
            if segment.prefixes != group[0].prefixes or padded > PADDING_ALLOWED * real:
                blocks.append(Block.of(group, device))
                group = []
        group.append(segment)
    if group:
        blocks.append(Block.of(group, device))
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

    query [N, K, G, L, D] (G query heads on each of K key heads), key [N, K, S, D] with S = context + first + L
    -> [N, K, G, L, S].
    """
    rows, key_heads, group, length, width = query.shape
    scores = torch.matmul(query.reshape(rows, key_heads, group * length, width), key.transpose(-1, -2))
    scores = scores.mul_(rule.scale).view(rows, key_heads, group, length, key.shape[2])
    if rule.softcap:
        scores = torch.tanh(scores / rule.softcap) * rule.softcap
    own = context + first
    hidden = torch.ones(length, length, dtype=torch.bool, device=key.device).triu_(1)
    scores[..., own:].masked_fill_(hidden, float("-inf"))
    if rule.window is not None and own + length > rule.window:
        scores.masked_fill_(outside_window(own, length, rule.window, key.device), float("-inf"))
    return torch.softmax(scores, -1)


def outside_window(seen: int, length: int, window: int, device: torch.device) -> Tensor:
    """[length, seen + length], True where a key lies `window` or more tokens before the query."""
    query_position = torch.arange(seen, seen + length, device=device)[:, None]
    return torch.arange(seen + length, device=device)[None] <= query_position - window


def heads_first(tensor: Tensor, block: Block) -> Tensor:
    """[T, H, D] -> [N, H, L, D], the rows of the block."""
    rows, length = block.index.shape
    return tensor[block.index.view(-1)].view(rows, length, *tensor.shape[1:]).transpose(1, 2)


def with_context(tensor: Tensor, block: Block) -> Tensor:
    """Keys or values [T, K, D] of the block's rows with those of its prefixes in front: [N, K, C + L, D]."""
    own = heads_first(tensor, block)
    if block.context is None:
        return own.contiguous()
    shared = tensor[block.context].transpose(0, 1).expand(own.shape[0], -1, -1, -1)
    return torch.cat((shared, own), 2)


def query_groups(query: Tensor, block: Block, key_heads: int) -> Tensor:
    """[T, H, D] -> [N, K, G, L, D]: query heads next to the key head they read."""
    rows = heads_first(query, block)
    return rows.reshape(rows.shape[0], key_heads, -1, *rows.shape[2:])


def ungroup(tensor: Tensor, block: Block) -> Tensor:
    """[N, K, G, L, D] -> [N * L, H, D]."""
    rows, key_heads, group, length, width = tensor.shape
    return tensor.permute(0, 3, 1, 2, 4).reshape(rows * length, key_heads * group, width)


def query_chunks(query: Tensor, context: int) -> list[tuple[int, int]]:
    """Ranges of query places to attend at a time, of [N, K, G, L, D]: few enough to stay in cache and to skip most of
    the future, which causal attention never looks at."""
    rows, key_heads, group, length, _ = query.shape
    step = max(FEWEST_QUERIES_AT_ONCE, SCORES_AT_ONCE // (rows * key_heads * group * (context + length)))
    return [(start, min(start + step, length)) for start in range(0, length, step)]


def attend_block(query: Tensor, key: Tensor, value: Tensor, context: int, rule: AttentionRule) -> Tensor:
    """query [N, K, G, L, D], key and value [N, K, context + L, D] -> [N, K, G, L, D], chunk by chunk of queries."""
    rows, key_heads, group, length, width = query.shape
    result = torch.empty_like(query, memory_format=torch.contiguous_format)
    for first, last in query_chunks(query, context):
        seen = context + last
        weights = probabilities(query[..., first:last, :], key[:, :, :seen], context, first, rule)
        mixed = torch.matmul(weights.view(rows, key_heads, -1, seen), value[:, :, :seen])
        result[..., first:last, :] = mixed.view(rows, key_heads, group, last - first, width)
    return result


class _PackedAttention(torch.autograd.Function):
    """Saves queries, keys, values and the result only; probabilities are computed again for the gradient
    (as FlashAttention does, 2205.14135, appendix B), so memory grows with tokens, not with their square."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: list[Block], rule: AttentionRule
    ) -> Tensor:
        result = torch.empty(query.shape, dtype=query.dtype, device=query.device)
        for block in blocks:
            context = 0 if block.context is None else len(block.context)
            mixed = attend_block(
                query_groups(query, block, key.shape[1]),
                with_context(key, block),
                with_context(value, block),
                context,
                rule,
            )
            # A padded place repeats a real token with that token's own query and later keys than it may see, so
            # only the real places are written.
            write(result, ungroup(mixed, block), block)
        ctx.save_for_backward(query, key, value, result)
        ctx.blocks, ctx.rule = blocks, rule
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        query, key, value, result = ctx.saved_tensors
        grad_query = torch.empty_like(query, memory_format=torch.contiguous_format)
        grad_key, grad_value = (torch.zeros(key.shape, dtype=torch.float32, device=key.device) for _ in range(2))
        for block in ctx.blocks:
            _backward_block(block, ctx.rule, (query, key, value, result, grad), (grad_query, grad_key, grad_value))
        return grad_query, grad_key.to(key.dtype), grad_value.to(value.dtype), None, None


def write(target: Tensor, rows: Tensor, block: Block) -> None:
    """Put `rows` [N * L, H, D] at the block's real positions of `target` [T, H, D]."""
    index = block.index.view(-1)
    if block.real is not None:
        keep = block.real.view(-1)
        index, rows = index[keep], rows[keep]
    target[index] = rows


def _backward_block(
    block: Block, rule: AttentionRule, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    query, key, value, result, grad = inputs
    grad_query, grad_key, grad_value = outputs
    key_heads = key.shape[1]
    context = 0 if block.context is None else len(block.context)
    keys, values = with_context(key, block), with_context(value, block)
    queries = query_groups(query, block, key_heads)
    grads = query_groups(grad, block, key_heads)
    if block.real is not None:
        grads = grads * block.real[:, None, None, :, None]
    # rowsum(dO * O), the term that the softmax's own derivative needs
    inner = (grads * query_groups(result, block, key_heads)).sum(-1, keepdim=True, dtype=torch.float32).to(grads.dtype)
    rows, _, group, length, width = queries.shape
    query_out = torch.empty(queries.shape, dtype=query.dtype, device=query.device)
    key_out, value_out = (torch.zeros(keys.shape, dtype=torch.float32, device=key.device) for _ in range(2))
    for first, last in query_chunks(queries, context):
        seen = context + last
        chunk = slice(first, last)
        flat = (rows, key_heads, group * (last - first), -1)
        weights = probabilities(queries[..., chunk, :], keys[:, :, :seen], context, first, rule)
        chunk_grad = grads[..., chunk, :].reshape(flat)
        value_out[:, :, :seen] += torch.matmul(weights.view(flat).transpose(-1, -2), chunk_grad)
        score_grad = torch.matmul(chunk_grad, values[:, :, :seen].transpose(-1, -2)).view(weights.shape)
        score_grad = score_grad.sub_(inner[..., chunk, :]).mul_(weights)
        if rule.softcap:
            score_grad *= softcap_slope(queries[..., chunk, :], keys[:, :, :seen], rule)
        score_grad = score_grad.mul_(rule.scale).view(flat)
        query_out[..., chunk, :] = torch.matmul(score_grad, keys[:, :, :seen]).view(rows, key_heads, group, -1, width)
        key_out[:, :, :seen] += torch.matmul(score_grad.transpose(-1, -2), queries[..., chunk, :].reshape(flat))
    write(grad_query, ungroup(query_out, block), block)
    for target, block_grad in ((grad_key, key_out), (grad_value, value_out)):
        own = block_grad[:, :, context:].transpose(1, 2).reshape(-1, *target.shape[1:])
        if block.real is not None:
            own = own * block.real.view(-1)[:, None, None]
        target.index_add_(0, block.index.view(-1), own)
        if block.context is not None:
            target.index_add_(0, block.context, block_grad[:, :, :context].sum(0).transpose(0, 1))


def softcap_slope(query: Tensor, key: Tensor, rule: AttentionRule) -> Tensor:
    """d softcap(s) / d s = 1 - tanh²(s / cap) at the scores of `probabilities`."""
    rows, key_heads, group, length, width = query.shape
    scores = torch.matmul(query.reshape(rows, key_heads, group * length, width), key.transpose(-1, -2))
    capped = torch.tanh(scores * (rule.scale / float(rule.softcap or 1)))
    return (1 - capped * capped).view(rows, key_heads, group, length, key.shape[2])
