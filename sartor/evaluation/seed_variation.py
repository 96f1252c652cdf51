"""Intervals and comparisons of paths that were trained several times, which vary from training to training as well as
from row to row.

Scores come as [seeds, rows]: every training answered the same rows. What is estimated is the mean over all rows like
these *and* over all trainings like these. A row's score is its mean over the trainings; the interval over rows
(`evaluation.statistics`) takes in how rows differ and how an answer changes by chance, but not that a whole training
comes out better or worse: all its rows move together. That part is the standard error of the trainings' mean scores,
with Student's t of seeds - 1 degrees of freedom. The two are put together as Zou and Donner (2008, Statistics in
Medicine 27, 1693-1702) put together limits of independent parts: each side's distance from the mean is the root of
the sum of squares of both. Trainings crossed with rows are the design of multi-reader studies (Hillis 2007, Statistics
in Medicine 26, 596-619), and why a benchmark has to vary the seed is shown by Bouthillier et al. (2021, 2103.03098).

The mean of a training varies a little because its rows do, which is counted in both parts; so the interval is wide
rather than narrow. In simulations (tests) it held the truth in 95 to 99 % of the cases with 2 to 5 trainings, whatever
the share of the trainings in the variance; Satterthwaite's approximation held it in 88 % at the worst, rows alone in
30 %. With two trainings it is about three times as wide as over rows alone, with three 1.4 times, with five 1.2 times.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sartor.evaluation.statistics import (
    Comparison,
    Groups,
    Interval,
    difference_interval,
    mean_interval,
    paired_difference,
    student_quantile,
)

Floats = NDArray[np.float64]
HALVINGS = 40  # of the interval in which a p-value is sought


def seeded_mean_interval(by_seed: ArrayLike, groups: Groups | None = None, confidence: float = 0.95) -> Interval:
    """The mean over rows and trainings of scores [seeds, rows] in [0, 1]; with one training, `mean_interval`."""
    scores = _shaped(by_seed)
    over_rows = mean_interval(scores.mean(0), groups, confidence)
    half = seeds_half_width(scores, confidence)
    low = over_rows.mean - math.hypot(over_rows.mean - over_rows.low, half)
    high = over_rows.mean + math.hypot(over_rows.high - over_rows.mean, half)
    return replace(over_rows, low=max(low, 0.0), high=min(high, 1.0))


def seeded_difference(a: ArrayLike, b: ArrayLike, groups: Groups | None = None, confidence: float = 0.95) -> Comparison:
    """Compare two paths on the same rows, each [seeds, rows] with seeds of its own (one for a path that is not
    trained); with one each this is `paired_difference`.

    The p-value is the larger one of the test over rows and of the interval's own (1 - the highest confidence at which
    it does not hold 0): a difference must stand out from the rows and from the trainings.
    """
    ours, theirs = _shaped(a), _shaped(b)
    over_rows = paired_difference(ours.mean(0), theirs.mean(0), groups, confidence)
    if len(ours) == len(theirs) == 1:
        return over_rows
    low, high = seeded_difference_interval(ours, theirs, groups, confidence)
    p = max(over_rows.p, _p_of_interval(ours, theirs, groups))
    test = f"{over_rows.test} and trainings ({max(len(ours), len(theirs))} seeds)"
    return replace(over_rows, low=low, high=high, p=p, test=test)


def seeded_difference_interval(
    a: ArrayLike, b: ArrayLike, groups: Groups | None = None, confidence: float = 0.95
) -> tuple[float, float]:
    """Confidence limits of the mean of a - b over rows and trainings."""
    ours, theirs = _shaped(a), _shaped(b)
    low, high = difference_interval(ours.mean(0), theirs.mean(0), groups, confidence)
    half = math.hypot(seeds_half_width(ours, confidence), seeds_half_width(theirs, confidence))
    if half == 0:
        return low, high
    middle = (low + high) / 2
    reach = math.hypot((high - low) / 2, half)
    return max(middle - reach, -1.0), min(middle + reach, 1.0)


def seeds_half_width(by_seed: ArrayLike, confidence: float = 0.95) -> float:
    """How far the mean of these trainings may lie from that of all such trainings: Student's t times the standard
    error of their mean scores. 0 for one training, of which nothing is known."""
    means = _shaped(by_seed).mean(1)
    if len(means) < 2:
        return 0.0
    error = float(means.std(ddof=1)) / math.sqrt(len(means))
    return student_quantile((1 + confidence) / 2, len(means) - 1) * error if error > 0 else 0.0


def _p_of_interval(ours: Floats, theirs: Floats, groups: Groups | None) -> float:
    """1 - the confidence at which the interval's end touches 0, by bisection; 1 where the difference is 0."""
    holding, clear = 0.0, 1.0  # at p = 0 the interval holds everything, at p = 1 it is a point
    for _ in range(HALVINGS):
        p = (holding + clear) / 2
        low, high = seeded_difference_interval(ours, theirs, groups, 1 - p)
        holding, clear = (p, clear) if low <= 0 <= high else (holding, p)
    return clear


def _shaped(by_seed: ArrayLike) -> Floats:
    scores = np.atleast_2d(np.asarray(by_seed, dtype=np.float64))
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError("scores must be shaped [seeds, rows], with one of each at least")
    return scores
