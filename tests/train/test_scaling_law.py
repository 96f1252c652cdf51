"""The fit finds a law that made the losses, and its interval says what it does not know."""

import numpy as np
import pytest

from sartor.train.scaling_law import PUBLISHED, Observed, ScalingLaw, fit_law

TRUE = ScalingLaw(0.9, 60.0, 400.0, PUBLISHED.weights_exponent, PUBLISHED.tokens_exponent)
GRID = [(weights, tokens) for weights in (1e6, 3e6, 1e7) for tokens in (1e6, 4e6, 2e7)]


def observed(noise: float = 0.0, seed: int = 0) -> list[Observed]:
    draw = np.random.default_rng(seed)
    return [Observed(n, d, TRUE.loss(n, d) + noise * draw.standard_normal()) for n, d in GRID]


def test_the_published_law_at_chinchilla() -> None:
    assert PUBLISHED.loss(70e9, 1.4e12) == pytest.approx(1.8172 + 482.01 / 70e9**0.3478 + 2085.43 / 1.4e12**0.3658)
    assert 1.9 < PUBLISHED.loss(70e9, 1.4e12) < 2.0


def test_exact_losses_give_the_law_back() -> None:
    found = fit_law(observed())
    assert found.law.floor == pytest.approx(0.9, rel=1e-6)
    assert found.law.weights_factor == pytest.approx(60.0, rel=1e-6)
    assert found.law.tokens_factor == pytest.approx(400.0, rel=1e-6)
    expected, low, high = found.expected(1e8, 2e9)
    assert expected == pytest.approx(TRUE.loss(1e8, 2e9)) and high - low < 1e-6


def test_the_interval_holds_the_truth_where_the_law_holds() -> None:
    inside = 0
    for seed in range(200):
        _, low, high = fit_law(observed(noise=0.02, seed=seed)).expected(1e8, 2e9)
        inside += low <= TRUE.loss(1e8, 2e9) <= high
    assert inside >= 180, "of 200; 95 % would be 190"


def test_no_factor_is_negative() -> None:
    rising = [Observed(n, d, 1.0 + 1e-9 * n) for n, d in GRID]  # more weights, more loss: no law of this form
    law = fit_law(rising).law
    assert min(law.floor, law.weights_factor, law.tokens_factor) >= 0.0


def test_too_few_or_too_equal_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="4 runs"):
        fit_law(observed()[:3])
    with pytest.raises(ValueError, match="differ in weights"):
        fit_law([each for each in observed() if each.weights == 1e6] * 2)
