"""How a score grows with the number of training rows, and what more rows would bring: a range, not a number.

A curve is score(n) = level + gap (1 - (n / N)^-c), kept within 0 and 1, N being the most rows that were trained on: a
power law that levels off (Hestness et al. 2017, 1712.00409) or, with c below 0, one that is still speeding up, as at
the beginning of learning. Three points cannot fix three numbers, and a single best fit to them is wrong in a way that
nobody sees (Mahmood et al. 2022, 2207.01725, find fits from few points far too hopeful). So no curve is picked: all
curves of the family that do not fall are weighed by how well they fit the points, given the points' noise, and the
forecast is the range in which 95 % of that weight lies (as Domhan et al., IJCAI 2015, do for curves over time). Before
the points are seen every exponent up to the 1/n of a task without noise is equally likely, and of what twice as many
rows would add small gains are likelier than large ones.

The noise has two parts: the rows that were asked, the same at every size (their covariance is taken from the scores,
groups of rows together), and how differently trainings of one size come out, which is given or assumed. A resampling
of the rows with a fit to each sample was not taken: with as many numbers as points every sample is fitted exactly, and
what the points cannot tell apart would stay out of the range.

Pure functions; the same answer every time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sartor.evaluation.statistics import Groups

Floats = NDArray[np.float64]

TRAINING_SPREAD = 0.02  # assumed standard deviation between trainings that differ in their seed alone
FURTHEST = 4  # times the rows that there are: as far beyond them as the points span below
FEWEST_SIZES, FEWEST_ROWS = 3, 20
EXPONENTS = np.linspace(-0.5, 1.0, 26) + 1e-3  # never quite 0, where the formula is a logarithm
DOUBLINGS = 0.5 * np.linspace(0.0, 1.0, 41) ** 2  # what twice as many rows add, as a share of what is missing to 1
LEVELS = np.linspace(0.0, 1.0, 201)  # the score at the most rows
IMPLAUSIBLE = 9.21  # a squared misfit that noise exceeds once in 100 (chi squared, 2 degrees of freedom)
TAIL = 0.025


@dataclass(frozen=True)
class Forecast:
    """What to expect of `rows` training rows: the middle of the range, and the range that has 95 % of the weight."""

    rows: int
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class Reach:
    """How many training rows reach `target`: the middle and both ends of what the curves say. None: more than FURTHEST
    times those that there are, or never."""

    target: float
    rows: int | None
    at_least: int | None
    at_most: int | None


@dataclass(frozen=True)
class Meaningless:
    """No curve is drawn through the points; `why` is a sentence for people."""

    why: str


@dataclass(frozen=True)
class CurveRange:
    """The curves with their weights, all of one length: score at `most_rows`, what is to gain beyond it, exponent."""

    most_rows: int
    level: Floats
    gap: Floats
    exponent: Floats
    weight: Floats

    def forecast(self, rows: int) -> Forecast:
        """ValueError beyond FURTHEST times the rows that there are."""
        if rows > FURTHEST * self.most_rows:
            raise ValueError(f"{rows:,} rows are too far from {self.most_rows:,} to say anything")
        low, middle, high = self._quantiles(self.scores(rows), (TAIL, 0.5, 1 - TAIL))
        return Forecast(rows, middle, low, high)

    def gain(self, factor: float = 2.0) -> tuple[float, float, float]:
        """What `factor` times as many rows would add to the score: lower end, middle, upper end."""
        low, middle, high = self._quantiles(
            self.scores(round(factor * self.most_rows)) - self.level, (TAIL, 0.5, 1 - TAIL)
        )
        return low, middle, high

    def reach(self, target: float) -> Reach:
        left = 1 - (target - self.level) / np.where(self.gap == 0, np.nan, self.gap)  # (n / N)^-c at the target
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            factor = np.where(left > 0, left ** (-1 / self.exponent), np.inf)
        factor = np.where(self.level >= target, 1.0, np.nan_to_num(factor, nan=np.inf, posinf=np.inf))
        at_least, rows, at_most = (
            None if times > FURTHEST else math.ceil(times * self.most_rows)
            for times in self._quantiles(factor, (TAIL, 0.5, 1 - TAIL))
        )
        return Reach(target, rows, at_least, at_most)

    def scores(self, rows: int) -> Floats:
        """Of every curve at `rows`."""
        return _scores(self.level, self.gap, self.exponent, rows / self.most_rows)

    @cached_property
    def _total(self) -> float:
        return float(self.weight.sum())

    def _quantiles(self, values: Floats, at: Sequence[float]) -> list[float]:
        order = np.argsort(values)
        below = np.cumsum(self.weight[order]) / self._total
        return [float(values[order[min(int(np.searchsorted(below, part)), len(order) - 1)]]) for part in at]


def fit_curve(
    rows: Sequence[int],
    scores: NDArray[np.float64],
    groups: Groups | None = None,
    training_spread: float = TRAINING_SPREAD,
) -> CurveRange | Meaningless:
    """The curves that may lie behind `scores` [sizes, scored rows], of trainings on `rows` rows each; `groups[i]` is
    the group of scored row i. Meaningless, with the reason, where the points do not look like such a curve at all."""
    values = np.asarray(scores, dtype=np.float64)
    if values.shape[0] != len(rows) or len(set(rows)) != len(rows) or list(rows) != sorted(rows):
        raise ValueError("one line of scores for each number of rows, which rise")
    if len(rows) < FEWEST_SIZES or values.shape[1] < FEWEST_ROWS:
        return Meaningless(
            f"a curve takes {FEWEST_SIZES} sizes and {FEWEST_ROWS} scored rows at least, and there are {len(rows)} and "
            f"{values.shape[1]}"
        )
    means = values.mean(1)
    if means.max() == 0:
        return Meaningless("no answer was right at any size, so there is no curve to draw")
    covariance = _covariance(values, groups) + training_spread**2 * np.eye(len(rows))
    fall = float(means[0] - means[-1])
    if fall > 0 and fall**2 > 4 * (covariance[0, 0] + covariance[-1, -1] - 2 * covariance[0, -1]):
        return Meaningless("the score fell as rows were added, by more than chance: look at the rows that came last")
    level, gap, exponent = _family()
    away = np.array([_scores(level, gap, exponent, each / rows[-1]) for each in rows]) - means[:, None]
    misfit = (away * np.linalg.solve(covariance, away)).sum(0)
    if misfit.min() > IMPLAUSIBLE:
        return Meaningless("the points lie further from any rising curve than chance explains")
    weight = np.exp((misfit.min() - misfit) / 2)
    kept = weight > 1e-8
    return CurveRange(rows[-1], level[kept], gap[kept], exponent[kept], weight[kept])


def _family() -> tuple[Floats, Floats, Floats]:
    """Level, gap and exponent of every curve that is looked at; those that would end above 1 are not."""
    level, share, exponent = (each.ravel() for each in np.meshgrid(LEVELS, DOUBLINGS, EXPONENTS, indexing="ij"))
    gap = share * (1 - level) / (1 - 2.0**-exponent)
    kept = (exponent < 0) | (gap <= 1 - level + 1e-12)
    return level[kept], gap[kept], exponent[kept]


def _scores(level: Floats, gap: Floats, exponent: Floats, factor: float) -> Floats:
    """Of every curve at `factor` times the most rows."""
    return np.clip(level + gap * (1 - factor**-exponent), 0.0, 1.0)


def _covariance(values: Floats, groups: Groups | None) -> Floats:
    """Of the sizes' mean scores, over the rows (or groups) that were asked. One row that is right everywhere and one
    that is wrong everywhere are added, for equal scores of a few rows do not show that all are equal."""
    names = range(values.shape[1]) if groups is None else groups
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    index = np.array([numbers[name] for name in names])
    centred = values - values.mean(1, keepdims=True)
    sums = np.array([np.bincount(index, line) for line in centred])
    count, average = len(numbers), values.shape[1] / len(numbers)
    half = np.full((len(values), 1), average / 2)
    sums = np.concatenate([sums, half, -half], axis=1)
    total = values.shape[1] + 2 * average
    return np.asarray(sums @ sums.T * (count + 2) / (count + 1) / total**2, dtype=np.float64)
