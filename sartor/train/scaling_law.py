"""How the loss falls with weights and tokens: L(N, D) = E + A / N^α + B / D^β (Hoffmann et al., 2203.15556, section
3.3).

The exponents are taken from the literature; floor and factors may be fitted to a few small runs on one's own text,
which is as many numbers as a few runs can decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Law(Protocol):
    """What loss to expect of a size."""

    def expected(self, weights: float, tokens: float) -> tuple[float, float | None, float | None]:
        """(loss, low, high): the interval is None where nothing is known of it."""
        ...


@dataclass(frozen=True)
class ScalingLaw:
    """The law's five numbers; N counts weights without the embedding."""

    floor: float
    weights_factor: float
    tokens_factor: float
    weights_exponent: float
    tokens_exponent: float

    def loss(self, weights: float, tokens: float) -> float:
        return float(
            self.floor
            + self.weights_factor * weights**-self.weights_exponent
            + self.tokens_factor * tokens**-self.tokens_exponent
        )

    def expected(self, weights: float, tokens: float) -> tuple[float, float | None, float | None]:
        """Published figures come without what an interval takes."""
        return self.loss(weights, tokens), None, None


# Besiroglu et al. (2404.10102), table 1: Hoffmann's data, fitted again. Nats a token of their web text.
PUBLISHED = ScalingLaw(1.8172, 482.01, 2085.43, 0.3478, 0.3658)


@dataclass(frozen=True)
class Observed:
    """What a run of `weights` weights on `tokens` tokens came to."""

    weights: float
    tokens: float
    loss: float


@dataclass(frozen=True)
class FittedLaw:
    """The best fit, and one fit for each run left out: how far they lie apart says how little is known."""

    law: ScalingLaw
    without_one: tuple[ScalingLaw, ...]
    observed: tuple[Observed, ...]

    def expected(self, weights: float, tokens: float) -> tuple[float, float, float]:
        """(expected, low, high). The interval is expected ± 1.96 standard errors of the delete-one jackknife (Efron &
        Stein 1981) and of what the runs scatter about the fit; it does not know whether the law holds so far away."""
        expected = self.law.loss(weights, tokens)
        count = len(self.without_one)
        left_out = np.array([law.loss(weights, tokens) for law in self.without_one])
        jackknife = (count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum())
        scatter = [self.law.loss(each.weights, each.tokens) - each.loss for each in self.observed]
        spread = 1.96 * (jackknife + float(np.square(scatter).sum()) / max(count - NUM_FITTED, 1)) ** 0.5
        return expected, expected - spread, expected + spread


NUM_FITTED = 3  # numbers that `fit_law` finds
FEWEST_RUNS = NUM_FITTED + 1  # so that one may be left out


def fit_law(observed: Sequence[Observed], exponents: ScalingLaw = PUBLISHED) -> FittedLaw:
    """Floor and both factors, none of them negative, that lie closest to the runs' losses (least squares), with the
    exponents of `exponents`. ValueError for fewer than four runs, or where all have the same weights or tokens."""
    if len(observed) < FEWEST_RUNS:
        raise ValueError(f"{FEWEST_RUNS} runs at least, not {len(observed)}")
    for name in ("weights", "tokens"):
        if len({getattr(each, name) for each in observed}) < 2:
            raise ValueError(f"the runs must differ in {name}")
    left_out = tuple(
        _fit([each for other, each in enumerate(observed) if other != place], exponents)
        for place in range(len(observed))
    )
    return FittedLaw(_fit(observed, exponents), left_out, tuple(observed))


def _fit(observed: Sequence[Observed], exponents: ScalingLaw) -> ScalingLaw:
    columns = np.array(
        [[1.0, each.weights**-exponents.weights_exponent, each.tokens**-exponents.tokens_exponent] for each in observed]
    )
    floor, weights, tokens = _non_negative(columns, np.array([each.loss for each in observed]))
    return ScalingLaw(floor, weights, tokens, exponents.weights_exponent, exponents.tokens_exponent)


def _non_negative(columns: Floats, values: Floats) -> Floats:
    """The least-squares solution with no entry below zero: of few columns, the best of all choices of those that are
    not zero."""
    scale = columns.max(0)
    best, best_error = np.zeros(columns.shape[1]), float((values**2).sum())
    for choice in range(1, 2 ** columns.shape[1]):
        chosen = [place for place in range(columns.shape[1]) if choice >> place & 1]
        found, *_ = np.linalg.lstsq(columns[:, chosen] / scale[chosen], values, rcond=None)
        error = float(((columns[:, chosen] / scale[chosen] @ found - values) ** 2).sum())
        if (found >= 0).all() and error < best_error:
            best = np.zeros(columns.shape[1])
            best[chosen], best_error = found / scale[chosen], error
    return best
