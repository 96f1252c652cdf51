"""Choosing the next token of each row from its logits."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from sartor.generation.protocol import Sampling


def choose_tokens(
    logits: Tensor, samplings: Sequence[Sampling], randoms: Sequence[random.Random]
) -> tuple[Tensor, Tensor]:
    """Next tokens [n] and their log-probabilities [n] (of the distribution sampled from: after temperature, before
    top_p; temperature 1 for greedy rows) from float32 logits [n, V].

    Each row draws from its own generator, so what it says does not depend on its neighbours.
    """
    temperatures = torch.tensor([s.temperature or 1.0 for s in samplings], device=logits.device)
    if any(s.temperature not in (0.0, 1.0) for s in samplings):
        logits = logits / temperatures[:, None]
    log_normalizers = torch.logsumexp(logits, -1)
    tokens = logits.argmax(-1)
    sampled = [place for place, s in enumerate(samplings) if s.temperature > 0]
    if sampled:
        probabilities = (logits[sampled] - log_normalizers[sampled, None]).exp()
        top_ps = [samplings[place].top_p for place in sampled]
        draws = torch.tensor([randoms[place].random() for place in sampled], device=logits.device)
        tokens[sampled] = draw(probabilities, top_ps, draws)
    return tokens, logits.gather(1, tokens[:, None])[:, 0] - log_normalizers


def draw(probabilities: Tensor, top_ps: Sequence[float], draws: Tensor) -> Tensor:
    """Inverse-transform sampling: probabilities [n, V] and uniform draws [n] in [0, 1) -> tokens [n].

    `top_p` < 1 keeps the fewest likeliest tokens that together reach it (nucleus sampling, 1904.09751).
    """
    if all(top_p >= 1 for top_p in top_ps):
        totals = probabilities.cumsum(-1)
        picked = torch.searchsorted(totals, (draws * totals[:, -1])[:, None], right=True)[:, 0]
        return picked.clamp_(max=probabilities.shape[1] - 1)
    ordered, order = probabilities.sort(-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    kept = ordered * (before < torch.tensor(top_ps, device=ordered.device)[:, None])
    totals = kept.cumsum(-1)
    picked = torch.searchsorted(totals, (draws * totals[:, -1])[:, None], right=True)[:, 0]
    return order.gather(1, picked.clamp_(max=order.shape[1] - 1)[:, None])[:, 0]
