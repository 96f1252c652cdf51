"""Tokens are drawn as the weights say, whatever the size of the vocabulary and whoever stands beside."""

import random

import pytest
import torch

from sartor.generation.protocol import Sampling
from sartor.generation.sampling import BLOCK_TOKENS, choose_tokens, draw, draw_nucleus


@pytest.mark.parametrize("vocabulary", [5, BLOCK_TOKENS, BLOCK_TOKENS + 1, 3 * BLOCK_TOKENS + 17])
def test_a_draw_is_the_token_whose_share_of_the_whole_it_falls_in(vocabulary: int) -> None:
    random_numbers = torch.Generator().manual_seed(0)
    weights = torch.rand(300, vocabulary, generator=random_numbers) ** 8
    draws = torch.rand(300, generator=random_numbers)
    tokens, totals = draw(weights, draws)
    exact = weights.double().cumsum(-1)
    torch.testing.assert_close(totals, exact[:, -1].float())
    shares = exact / exact[:, -1:]
    upper = shares.gather(1, tokens[:, None])[:, 0]
    lower = upper - (weights.double().gather(1, tokens[:, None]) / exact[:, -1:])[:, 0]
    assert bool((lower <= draws + 1e-6).all() and (draws < upper + 1e-6).all())


def test_tokens_without_weight_are_never_drawn_not_even_at_the_ends() -> None:
    weights = torch.zeros(3, 2 * BLOCK_TOKENS + 5)
    weights[:, 3], weights[:, BLOCK_TOKENS + 1] = 0.1, 0.7
    largest_below_one = 1 - 2**-24
    assert draw(weights, torch.tensor([0.0, 0.5, largest_below_one]))[0].tolist() == [
        3,
        BLOCK_TOKENS + 1,
        BLOCK_TOKENS + 1,
    ]


def test_the_nucleus_is_the_fewest_tokens_that_reach_top_p() -> None:
    probabilities = torch.tensor([[0.1, 0.5, 0.05, 0.35]]).expand(100, -1)
    draws = torch.linspace(0, 0.999, 100)
    assert set(draw_nucleus(probabilities, torch.full((100,), 0.6), draws).tolist()) == {1, 3}
    assert set(draw_nucleus(probabilities, torch.full((100,), 0.4), draws).tolist()) == {1}


def test_log_probabilities_are_of_the_tempered_distribution_and_neighbours_change_nothing() -> None:
    logits = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0)) * 5
    samplings = [Sampling(), Sampling(temperature=1.0), Sampling(temperature=0.5), Sampling(temperature=1.0, top_p=0.5)]
    tokens, log_probs, _ = choose_tokens(logits.clone(), samplings, [random.Random(seed) for seed in range(4)])
    assert int(tokens[0]) == int(logits[0].argmax())
    for row, sampling in enumerate(samplings):
        exact = torch.log_softmax(logits[row].double() / (sampling.temperature or 1.0), -1)
        assert float(log_probs[row]) == pytest.approx(float(exact[tokens[row]]), abs=1e-5)
        alone, _, _ = choose_tokens(logits[row : row + 1].clone(), [sampling], [random.Random(row)])
        assert int(alone[0]) == int(tokens[row])


@pytest.mark.parametrize("tiny", [1e-40, 1e-50, 5e-324])
def test_numbers_too_small_for_float32_leave_the_likeliest_token_and_the_neighbours(tiny: float) -> None:
    logits = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0)) * 5
    hot = Sampling(temperature=1.0)
    samplings = [hot, Sampling(temperature=tiny), Sampling(temperature=1.0, top_p=tiny)]
    samplings.append(Sampling(temperature=tiny, top_p=tiny))
    tokens, log_probs, _ = choose_tokens(logits.clone(), samplings, [random.Random(seed) for seed in range(4)])
    assert tokens[1:].tolist() == logits[1:].argmax(-1).tolist()
    assert bool(log_probs.isfinite().all())
    assert int(tokens[0]) == int(choose_tokens(logits[:1].clone(), [hot], [random.Random(0)]).tokens[0])


def test_the_likeliest_tokens_are_reported_with_their_log_probabilities_as_many_as_asked_for() -> None:
    logits = torch.randn(4, 600, generator=torch.Generator().manual_seed(0)) * 3
    logits[3, 5:] = float("-inf")
    samplings = [
        Sampling(top_log_probs=3),
        Sampling(temperature=0.5, top_p=0.4, top_log_probs=5),
        Sampling(temperature=1.0),
        Sampling(temperature=1.0, top_log_probs=9),
    ]
    _, _, top = choose_tokens(logits.clone(), samplings, [random.Random(seed) for seed in range(4)])
    assert [len(each) for each in top] == [3, 5, 0, 5]  # of row 3 only five tokens are possible
    for row, sampling in enumerate(samplings):
        exact = torch.log_softmax(logits[row].double() / (sampling.temperature or 1.0), -1).topk(len(top[row]))
        assert [token for token, _ in top[row]] == exact.indices.tolist()
        assert [value for _, value in top[row]] == pytest.approx(exact.values.tolist(), abs=1e-4)
