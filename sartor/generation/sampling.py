"""Choosing the next token of each row from its logits."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sartor.generation.events import TopTokens
from sartor.generation.protocol import Sampling

SMALLEST = 1e-6  # of temperature and top_p: below it stands the likeliest token alone, and float32 soon has no number
BLOCK_TOKENS = 256  # near the square root of usual vocabularies: few sums to look through, and few tokens behind each


class Choices(NamedTuple):
    """Tokens [n], their log-probabilities [n], and for each row as many of the likeliest tokens as it asked for."""

    tokens: Tensor
    log_probs: Tensor
    top: list[TopTokens]


def choose_tokens(logits: Tensor, samplings: Sequence[Sampling], randoms: Sequence[random.Random]) -> Choices:
    """Next tokens from float32 logits [n, V], whose memory is overwritten; a logit of -inf is never chosen.

    Log-probabilities are those of the distribution sampled from: of the logits as they are given, after temperature,
    before top_p; at temperature 1 for greedy rows. Each row draws from its own generator, so what it says does not
    depend on its neighbours.
    """
    place = logits.device
    if any(s.temperature not in (0.0, 1.0) for s in samplings):
        temperatures = [max(s.temperature, SMALLEST) if s.temperature else 1.0 for s in samplings]
        logits.div_(torch.tensor(temperatures, device=place)[:, None])
    greedy = [row for row, s in enumerate(samplings) if s.temperature == 0]
    nucleus = [row for row, s in enumerate(samplings) if s.temperature > 0 and s.top_p < 1]
    likeliest = logits.argmax(-1) if greedy else None
    weights = logits.sub_(logits.amax(-1, keepdim=True)).exp_()  # in place: new memory costs more than the arithmetic
    draws = torch.tensor(
        [each.random() if s.temperature else 0.0 for each, s in zip(randoms, samplings, strict=True)], device=place
    )
    tokens, totals = draw(weights, draws)
    if nucleus:
        top_ps = torch.tensor([max(samplings[row].top_p, SMALLEST) for row in nucleus], device=place)
        tokens[nucleus] = draw_nucleus(weights[nucleus] / totals[nucleus, None], top_ps, draws[nucleus])
    if likeliest is not None:
        tokens[greedy] = likeliest[greedy]
    log_probs = (weights.gather(1, tokens[:, None])[:, 0] / totals).log()
    return Choices(tokens, log_probs, likeliest_tokens(weights, totals, [s.top_log_probs for s in samplings]))


def likeliest_tokens(weights: Tensor, totals: Tensor, counts: Sequence[int]) -> list[TopTokens]:
    """The `counts[i]` likeliest tokens of row i with their log-probabilities, from weights [n, V] whose sums are
    `totals` [n]. Tokens without weight are left out."""
    found: list[TopTokens] = [()] * len(counts)
    wanted = [row for row, count in enumerate(counts) if count > 0]
    if not wanted:
        return found
    values, tokens = weights[wanted].topk(min(max(counts), weights.shape[1]), -1)
    log_probs = (values / totals[wanted, None]).log()
    for row, own_tokens, own_log_probs in zip(wanted, tokens.tolist(), log_probs.tolist(), strict=True):
        pairs = list(zip(own_tokens, own_log_probs, strict=True))[: counts[row]]
        found[row] = tuple(pair for pair in pairs if pair[1] > float("-inf"))
    return found


def draw(weights: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse-transform sampling: weights [n, V], not normalised, and uniform draws [n] in [0, 1) -> tokens [n] and the
    rows' total weights [n].

    First a block of tokens is found by the blocks' sums, then the token in it: one pass over the vocabulary.
    """
    vocabulary = weights.shape[1]
    whole = vocabulary - vocabulary % BLOCK_TOKENS
    sums = weights[:, :whole].unflatten(1, (-1, BLOCK_TOKENS)).sum(-1)
    sums = torch.cat((sums, weights[:, whole:].sum(-1, keepdim=True)), 1)
    totals = sums.sum(-1)
    block, rest = find(sums, draws * totals)
    columns = block[:, None] * BLOCK_TOKENS + torch.arange(BLOCK_TOKENS, device=weights.device)
    inside = weights.gather(1, columns.clamp(max=vocabulary - 1)).masked_fill_(columns >= vocabulary, 0.0)
    return block * BLOCK_TOKENS + find(inside, rest)[0], totals


def draw_nucleus(probabilities: Tensor, top_ps: Tensor, draws: Tensor) -> Tensor:
    """Sampling from the fewest likeliest tokens that together reach `top_ps` [n] (1904.09751): probabilities [n, V],
    draws [n] -> tokens [n]."""
    ordered, order = probabilities.sort(-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    kept = ordered * (before < top_ps[:, None])
    places, _ = find(kept, draws * kept.sum(-1))
    return order.gather(1, places[:, None])[:, 0]


def find(weights: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The first place of each row at which the sum of weights [n, m] exceeds the target [n], and what of the target is
    left before it [n]. Where rounding puts a target beyond all weights, it is the last place that has weight."""
    sums = weights.cumsum(-1)
    targets = torch.minimum(targets, torch.nextafter(sums[:, -1], torch.zeros_like(targets)))
    places = torch.searchsorted(sums, targets[:, None], right=True)
    before = functional.pad(sums, (1, 0)).gather(1, places)
    return places[:, 0], targets - before[:, 0]
