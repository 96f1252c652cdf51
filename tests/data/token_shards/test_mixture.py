"""The turns of the sources: the asked shares at every moment."""

import random
from fractions import Fraction

import pytest

from sartor.data.token_shards.mixture import BLOCK, Turns


@pytest.mark.parametrize("weights", [[1], [1, 1], [0.7, 0.3], [0.001, 0.999], [5, 3, 1, 1, 0.1], [1 / 3, 0.2, 3e-5]])
def test_no_prefix_is_a_turn_or_more_away_from_the_shares(weights: list[float]) -> None:
    turns, counts = Turns(weights), [0] * len(weights)
    shares = [Fraction(weight) / sum(map(Fraction, weights)) for weight in weights]
    for place in range(3000):
        source, before = turns.turn(place)
        assert before == counts[source]
        counts[source] += 1
        assert all(abs(count - share * (place + 1)) < 1 for count, share in zip(counts, shares, strict=True))


def test_random_mixtures_keep_their_shares() -> None:
    draw = random.Random(0)
    for _ in range(60):
        weights = [draw.random() ** 4 + 1e-6 for _ in range(draw.randrange(2, 9))]
        turns, shares = Turns(weights), [weight / sum(weights) for weight in weights]
        for places in range(1, 400):
            assert max(abs(n - s * places) for n, s in zip(turns.counts(places), shares, strict=True)) < 1 + 1e-9


def test_a_turn_does_not_depend_on_what_was_asked_before() -> None:
    weights, last = [0.5, 0.2, 0.3], 3 * BLOCK + 5
    in_order = Turns(weights)
    all_turns = [in_order.turn(place) for place in range(last)]
    for place in (last - 1, BLOCK, BLOCK - 1, 0, 2 * BLOCK + 7):
        assert Turns(weights).turn(place) == all_turns[place] == in_order.turn(place)


@pytest.mark.parametrize("weights", [[], [0.0], [1, -1], [float("nan")], [float("inf"), 1]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="positive weight"):
        Turns(weights)
