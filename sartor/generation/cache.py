"""Keys and values of the rows being generated, and the two layouts that read and write them.

All rows live in one tensor with a slot each; active rows fill slots 0..n-1, so a decoding step reads one slice. Prompts
that begin alike share the keys and values of that beginning: they are computed and stored once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sartor.data.packing import Span
from sartor.models.attention import (
    AttentionRule,
    attend_block,
    blocks_of,
    heads_first,
    query_groups,
    write,
)

CAPACITY_STEP_TOKENS = 64


@dataclass(frozen=True)
class CacheShape:
    """`key_heads` and `width` are those of the layer that has most; what others have less is left empty."""

    layers: int
    key_heads: int
    width: int
    dtype: torch.dtype
    device: torch.device


class Cache:
    """`store` [layers, 2, slots, key_heads, capacity, width]; grows in slots and capacity as needed."""

    def __init__(self, shape: CacheShape):
        self.shape = shape
        self.store = self._empty(0, 0)
        self.shared = self._empty(1, 0)  # keys and values of the shared prefix

    def _empty(self, slots: int, capacity: int) -> Tensor:
        shape = self.shape
        return torch.zeros(
            shape.layers, 2, slots, shape.key_heads, capacity, shape.width, dtype=shape.dtype, device=shape.device
        )

    def reserve(self, slots: int, capacity: int) -> None:
        """Make room for `slots` rows of `capacity` tokens (beyond the shared prefix), in steps of capacity.

        `slots` are all that hold anything: a cache that has to be made anew has no more, else it would grow to the
        most rows there ever were times the longest there ever was.
        """
        have_slots, have_capacity = self.store.shape[2], self.store.shape[4]
        if slots <= have_slots and capacity <= have_capacity:
            return
        capacity = max(have_capacity, -(-capacity // CAPACITY_STEP_TOKENS) * CAPACITY_STEP_TOKENS)
        kept = min(slots, have_slots)
        bigger = self._empty(slots, capacity)
        bigger[:, :, :kept, :, :have_capacity] = self.store[:, :, :kept]
        self.store = bigger

    def shrink(self, capacity: int) -> None:
        """Give back what no row needs any more, when that is more than half: every decoding step looks at all of it."""
        capacity = -(-capacity // CAPACITY_STEP_TOKENS) * CAPACITY_STEP_TOKENS
        if 2 * capacity < self.store.shape[4]:
            self.store = self.store[:, :, :, :, :capacity].contiguous()

    @torch.inference_mode()
    def put(self, states: Tensor, slot: int) -> None:
        """Begin the row in the slot with these keys and values [layers, 2, key_heads, n, width]."""
        self.store[:, :, slot, :, : states.shape[3]] = states

    def row(self, slot: int, length: int) -> Tensor:
        """Keys and values of a row, [layers, 2, key_heads, length, width]; a view."""
        return self.store[:, :, slot, :, :length]

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the row in slot `source`, of `length` tokens, over slot `target`."""
        if source != target:
            self.store[:, :, target, :, :length] = self.store[:, :, source, :, :length]

    def clear(self) -> None:
        """Give the memory back and forget the shared prefix."""
        self.store, self.shared = self._empty(0, 0), self._empty(1, 0)


def of_layer(states: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Where a layer with such keys and values keeps its own: of [2, slots, K, n, D] what it fills; views."""
    keys, values = states
    if keys.shape[1] == key.shape[1] and keys.shape[3] == key.shape[2] == value.shape[2]:
        return keys, values  # a view of all of it is one of many that a decoding step would make for nothing
    return keys[:, : key.shape[1], :, : key.shape[2]], values[:, : value.shape[1], :, : value.shape[2]]


class PrefixLayout:
    """Runs the shared prefix once and keeps its keys and values."""

    def __init__(self, cache: Cache, length: int):
        self.cache, self.blocks = cache, blocks_of([Span(0, length)], cache.shape.device)
        cache.shared = cache._empty(1, length)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        stored = of_layer(self.cache.shared[layer], key, value)
        for part, tensor in zip(stored, (key, value), strict=True):
            part[0] = tensor.transpose(0, 1)
        keys, values = stored
        grouped = query_groups(query, self.blocks[0], key.shape[1])
        result = torch.empty((*query.shape[:2], value.shape[2]), dtype=query.dtype, device=query.device)
        write(result, attend_block(grouped, keys, values, 0, rule), self.blocks[0])
        return result


class PrefillLayout:
    """Runs packed prompts, or pieces of them, and stores their keys and values in the given slots: of span i behind
    the `done[i]` tokens that its slot holds, which follow the shared prefix."""

    def __init__(self, cache: Cache, spans: list[Span], slots: list[int], done: list[int]):
        self.cache, self.places = cache, list(zip(spans, slots, done, strict=True))
        fresh = [span for span, _, before in self.places if before == 0]
        self.blocks = blocks_of(fresh, cache.shape.device)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        stored, shared = (of_layer(store[layer], key, value) for store in (self.cache.store, self.cache.shared))
        for part, tensor in zip(stored, (key, value), strict=True):
            for span, slot, done in self.places:
                part[slot, :, done : done + span.end - span.start] = tensor[span.start : span.end].transpose(0, 1)
        result = torch.empty((*query.shape[:2], value.shape[2]), dtype=query.dtype, device=query.device)
        for block in self.blocks:
            keys, values = (
                torch.cat((front.expand(block.index.shape[0], -1, -1, -1), heads_first(tensor, block)), 2)
                for front, tensor in zip(shared, (key, value), strict=True)
            )
            mixed = attend_block(query_groups(query, block, key.shape[1]), keys, values, shared[0].shape[2], rule)
            write(result, mixed, block)
        for span, slot, done in self.places:
            if done:
                seen = done + span.end - span.start
                keys, values = (part[slot : slot + 1, :, :seen] for part in stored)
                if shared[0].shape[2]:
                    keys, values = (torch.cat(each, 2) for each in zip(shared, (keys, values), strict=True))
                result[span.start : span.end] = go_on(query[span.start : span.end], keys, values, rule)
        return result


def go_on(query: Tensor, keys: Tensor, values: Tensor, rule: AttentionRule) -> Tensor:
    """A piece of a prompt that was begun earlier: query [L, heads, D], keys [1, K, before + L, D] and values
    [1, K, before + L, V] -> [L, heads, V]."""
    length, heads, width = query.shape
    grouped = query.reshape(length, keys.shape[1], -1, width).permute(1, 2, 0, 3)[None]  # [1, K, G, L, D]
    mixed = attend_block(grouped, keys, values, keys.shape[2] - length, rule)
    return mixed[0].permute(2, 0, 1, 3).reshape(length, heads, -1)


class DecodeLayout:
    """One new token for each active row: row i is in slot i and holds `lengths[i]` tokens behind the shared prefix."""

    def __init__(self, cache: Cache, lengths: Tensor):
        self.cache, self.lengths = cache, lengths
        # The whole capacity is read and what is not written yet is hidden: a slice of it would have to be copied to be
        # multiplied, and its shape would be new at every token.
        key_heads, self.capacity = cache.store.shape[3:5]
        places = torch.arange(self.capacity, device=lengths.device)
        heads = torch.arange(len(lengths) * key_heads, device=lengths.device).view(-1, key_heads)
        self.places = heads * self.capacity + lengths[:, None]  # [n, K], in [slots * K * capacity, D]
        self._written: dict[int, Tensor] = {}
        unseen = (places[None] > lengths[:, None])[:, None, None]  # [n, 1, 1, capacity]
        self.hidden = torch.zeros(unseen.shape, dtype=cache.shape.dtype, device=lengths.device)
        self.hidden.masked_fill_(unseen, float("-inf"))  # added to scores, which is quicker than filling them

    def written(self, key_heads: int) -> Tensor:
        """Where a layer with so many key heads writes its new token: computed once, used in every layer like it."""
        if key_heads not in self._written:
            self._written[key_heads] = self.places[:, :key_heads].flatten()
        return self._written[key_heads]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        count, key_heads, width = key.shape
        written = self.written(key_heads)
        for part, new in zip(self.cache.store[layer], (key, value), strict=True):
            places = part.view(-1, part.shape[3])
            if part.shape[3] != new.shape[2]:
                places = places[:, : new.shape[2]]
            places.index_copy_(0, written, new.reshape(-1, new.shape[2]))
        keys, values = of_layer(self.cache.store[layer, :, :count], key, value)
        query = (query * rule.scale).view(count, key_heads, -1, width)  # [n, K, G, D]
        own = torch.matmul(query, keys.transpose(-1, -2))
        prefix = self.cache.shared.shape[4]
        if prefix == 0:
            weights = torch.softmax(self._rule(own, prefix, rule), -1)
            return torch.matmul(weights, values).view(count, -1, value.shape[2])
        shared_keys, shared_values = (part[0] for part in of_layer(self.cache.shared[layer], key, value))  # [K, P, D]
        before = _by_row(torch.matmul(_by_head(query), shared_keys.transpose(1, 2)), count)
        weights = torch.softmax(self._rule(torch.cat((before, own), -1), prefix, rule), -1)
        result = torch.matmul(weights[..., prefix:], values)
        result += _by_row(torch.matmul(_by_head(weights[..., :prefix]), shared_values), count)
        return result.view(count, -1, value.shape[2])

    def _rule(self, scores: Tensor, prefix: int, rule: AttentionRule) -> Tensor:
        """Cap and hide scores [n, K, G, P + capacity], in place."""
        if rule.softcap:
            scores.div_(rule.softcap).tanh_().mul_(rule.softcap)
        scores[..., prefix:] += self.hidden
        if rule.window is not None and prefix + self.capacity > rule.window:
            places = torch.arange(prefix + self.capacity, device=scores.device)
            too_far = places[None] <= (self.lengths + prefix)[:, None] - rule.window
            scores.masked_fill_(too_far[:, None, None], float("-inf"))
        return scores


def _by_head(rows: Tensor) -> Tensor:
    """[n, K, G, m] -> [K, n * G, m]: what all rows ask of a key head stands together."""
    return rows.transpose(0, 1).reshape(rows.shape[1], -1, rows.shape[3])


def _by_row(heads: Tensor, count: int) -> Tensor:
    """[K, n * G, m] -> [n, K, G, m]."""
    return heads.view(heads.shape[0], count, -1, heads.shape[2]).transpose(0, 1)
