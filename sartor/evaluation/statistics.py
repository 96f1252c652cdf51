"""Intervals and paired comparisons that are right for few rows.

Scores lie in [0, 1]: 0/1 for right or wrong, or fractions (F1, ROUGE). Rows may come in groups (questions
about one document); then the groups, not the rows, are what varies independently. Pure functions of numbers,
the same answer every time: the random draws of a permutation test have a fixed seed. Unscored rows are the
caller's business.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Groups = Sequence[Hashable]

NUM_DRAWS = 9_999
MOST_FLIPS_FOR_EXACT = 14
BYTES_AT_ONCE = 500_000
ROUNDING = 1e-9
UNSEEN_WEIGHT = 4  # measured: with 1, intervals from ten rows of skewed fractions held the truth in 80 % of the cases


@dataclass(frozen=True)
class Interval:
    """A mean score with its confidence limits, over `n` rows."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """The mean of a - b over `n` rows that both answered, with confidence limits and a two-sided p-value.

    `discordant` counts the rows whose scores differ. `spread` is the mean squared difference of a row, times
    the design effect where rows come in groups (for single 0/1 rows: the share of discordant rows).
    """

    difference: float
    low: float
    high: float
    p: float
    test: str
    discordant: int
    spread: float
    n: int


def mean_interval(scores: ArrayLike, groups: Groups | None = None, confidence: float = 0.95) -> Interval:
    """The mean of scores in [0, 1] with its Wilson interval at the effective sample size.

    n_eff = n / design effect, in the form of Franco, Little, Louis and Slud (2019, "Comparative study of
    confidence intervals for proportions in complex sample surveys", J. Survey Stat. Methodol. 7, 334-364).
    For single 0/1 rows n_eff = n: the interval of Wilson (1927). Fractions vary less than 0/1 scores of the
    same mean, so n_eff > n; that ratio is estimated with two low and two high rows added (Agresti and Coull
    1998), for equal scores in a few rows do not show that all are equal; how low and high, `beyond_seen` says.
    Groups lower n_eff by their design effect, never raise it; few groups widen it by Student's t (Korn and
    Graubard 1998). As with every Wilson interval, coverage dips for true rates within about 1/n of 0 or 1
    (`python -m benchmarks.verdict_calibration` measures it). ValueError for no score or one outside [0, 1].
    """
    values = _checked(scores)
    effective = len(values) / (_fraction_effect(values) * _group_effect(values, groups, confidence))
    mean, z = float(values.mean()), NormalDist().inv_cdf((1 + confidence) / 2)
    stretch = 1 + z * z / effective
    centre = (mean + z * z / (2 * effective)) / stretch
    half = z * math.sqrt(mean * (1 - mean) / effective + (z / (2 * effective)) ** 2) / stretch
    return Interval(mean, min(max(centre - half, 0.0), mean), max(min(centre + half, 1.0), mean), len(values))


def paired_difference(
    a: ArrayLike, b: ArrayLike, groups: Groups | None = None, confidence: float = 0.95
) -> Comparison:
    """Compare two paths on the same rows: `a[i]` and `b[i]` are scores of row i, in [0, 1].

    Single 0/1 rows: McNemar's exact test, binomial on the rows where only one was right (McNemar 1947; mid-p
    is not used). Else: permutation of the signs of the differences (Fisher 1935), all of a group together;
    complete for up to 14 groups that differ, else 9,999 draws with p = (1 + hits) / (1 + draws) (Phipson and
    Smyth 2010). The interval is `difference_interval`'s. ValueError for no row, unequal lengths or a score
    outside [0, 1].
    """
    ours, theirs = _checked(a), _checked(b)
    sums, sizes = group_sums(_differences(ours, theirs), groups)
    single = len(sums) == len(ours)
    if single and _is_binary(ours) and _is_binary(theirs):
        test, p = "exact McNemar", mcnemar(int((ours > theirs).sum()), int((ours < theirs).sum()))
    else:
        test = "sign-flip permutation" if single else "sign-flip permutation by group"
        p = _sign_flip(sums)
    low, high = difference_interval(ours, theirs, groups, confidence)
    return Comparison(
        float(sums.sum() / sizes.sum()), low, high, p, test,
        int((ours != theirs).sum()), float((sums**2).sum() / sizes.sum()), len(ours),
    )


def difference_interval(
    a: ArrayLike, b: ArrayLike, groups: Groups | None = None, confidence: float = 0.95
) -> tuple[float, float]:
    """Confidence limits of the mean of a - b: the adjusted Wald interval for paired scores.

    Two rows are added to the data, one won and one lost outright (differences +1 and -1): for single 0/1 rows
    this is the interval of Bonett and Price (2012, J. Educ. Behav. Stat. 37, 479-488). Fractions get two rows
    too, won and lost by as much as `beyond_seen` says, with Student's t for the normal quantile; groups two
    groups of the average size, and the variance between groups. Preferred to the bootstrap on measured
    coverage: at 10 to 100 rows with many ties, bootstrap-t held the truth in 36-98 % of the cases and BCa in
    43-94 %, at a nominal 95 %.
    """
    ours, theirs = _checked(a), _checked(b)
    sums, sizes = group_sums(_differences(ours, theirs), groups)
    num_groups, average = len(sums), sizes.mean()
    plain = num_groups == len(ours) and _is_binary(ours) and _is_binary(theirs)
    if not plain and num_groups < 2:
        return -1.0, 1.0
    tail = (1 + confidence) / 2
    quantile = NormalDist().inv_cdf(tail) if plain else student_quantile(tail, num_groups - 1)
    added = beyond_seen(float(np.abs(sums).max()), int((sums != 0).sum()), float(average))
    sums, sizes = np.append(sums, (added, -added)), np.append(sizes, (average, average))
    middle = float(sums.sum() / sizes.sum())
    half = quantile * math.sqrt(float(((sums - middle * sizes) ** 2).sum())) / float(sizes.sum())
    return max(middle - half, -1.0), min(middle + half, 1.0)


def beyond_seen(largest: float, num_seen: int, most: float) -> float:
    """How large a value may be that a small sample does not show, when the `largest` of `num_seen` is known.

    The next value is larger than all seen so far with a chance of 1 / (num_seen + 1), so `most`, the largest
    possible, has the weight of `UNSEEN_WEIGHT` values. For 0/1 scores it is always 1. With 1 for fractions too,
    intervals of small scores held the truth in 98 to 100 % of the cases at 100 rows; so they do in 94 to 97 %.
    """
    return (num_seen * largest + UNSEEN_WEIGHT * most) / (num_seen + UNSEEN_WEIGHT)


def unbounded_difference(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> tuple[float, float, float]:
    """The mean of a - b over the same rows and its confidence limits, for measures of any size. Infinite limits for a
    single row.

    Values that all lie in [0, 1] are taken for scores (`difference_interval`). Others get the same two rows added, won
    and lost, and Student's t: equal differences in a few rows do not show that all are equal. What their bounds are is
    not known; in their place stand the lowest and the highest value of either side, 0 and 1 among them.
    """
    ours, theirs = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    differences = ours - theirs
    mean, count = float(differences.mean()), len(differences)
    if count < 2:
        return mean, -math.inf, math.inf
    lowest, highest = min(ours.min(), theirs.min(), 0.0), max(ours.max(), theirs.max(), 1.0)
    if lowest == 0.0 and highest == 1.0:
        return mean, *difference_interval(ours, theirs, confidence=confidence)
    largest, num_seen = float(np.abs(differences).max()), int((differences != 0).sum())
    added = beyond_seen(largest, num_seen, float(highest - lowest))
    differences = np.append(differences, (added, -added))
    middle, deviations = float(differences.mean()), float(((differences - differences.mean()) ** 2).sum())
    half = student_quantile((1 + confidence) / 2, count - 1) * math.sqrt(deviations) / (count + 2)
    return mean, middle - half, middle + half


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p when only one side was right in `only_a` and `only_b` rows: binomial, chance 1/2."""
    total, term, below = only_a + only_b, 1, 0
    for right in range(min(only_a, only_b) + 1):
        below += term
        term = term * (total - right) // (right + 1)
    return min(1.0, 2 * below / 2**total)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for how many they are, in the given order (Holm 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def student_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t above the median, to six digits.

    From 100 degrees of freedom on the expansion 26.7.5 of Abramowitz and Stegun; below, bisection of 26.7.3
    and 26.7.4.
    """
    if degrees >= 100:
        z = NormalDist().inv_cdf(probability)
        return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2) + (
            3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        low, high = (angle, high) if _student_inside(angle, degrees) < 2 * probability - 1 else (low, angle)
    return math.tan(low) * math.sqrt(degrees)


def _student_inside(angle: float, degrees: int) -> float:
    """P(|T| < tan(angle) sqrt(degrees)) as a finite sum."""
    odd = degrees % 2
    term = math.sin(angle) * (math.cos(angle) if odd else 1.0)
    total = 0.0
    for k in range(2 + odd, degrees + 1, 2):
        total += term
        term *= (k - 1) / k * math.cos(angle) ** 2
    return 2 / math.pi * (angle + total) if odd else total


def _checked(scores: ArrayLike) -> Floats:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError("scores must be a list of at least one number")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("scores must lie in [0, 1]")
    return values


def _is_binary(values: Floats) -> bool:
    return bool(((values == 0) | (values == 1)).all())


def _differences(a: Floats, b: Floats) -> Floats:
    if len(a) != len(b):
        raise ValueError(f"paired scores must be of the same rows: {len(a)} and {len(b)}")
    return a - b


def group_sums(values: Floats, groups: Groups | None) -> tuple[Floats, Floats]:
    """The sum of `values` in each group and the number of its rows; without groups every row is one. ValueError when
    there is not one group a row."""
    if groups is None:
        return values, np.ones(len(values))
    if len(groups) != len(values):
        raise ValueError(f"one group a row is needed: {len(groups)} groups, {len(values)} rows")
    numbers: dict[Hashable, int] = {}
    index = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
    return np.bincount(index, values).astype(np.float64), np.bincount(index).astype(np.float64)


def _fraction_effect(values: Floats) -> float:
    """Variance of the scores relative to 0/1 scores of the same mean, at most 1.

    Rows with the most common score are not counted as seen: all alike, they do not show how others may be.
    """
    num_seen = len(values) - int(np.unique(values, return_counts=True)[1].max())
    low = 1 - beyond_seen(1 - float(values.min()), num_seen, 1.0)
    high = beyond_seen(float(values.max()), num_seen, 1.0)
    padded = np.append(values, (low, low, high, high))
    return float(min(padded.var() / (padded.mean() * (1 - padded.mean())), 1.0))


def _group_effect(values: Floats, groups: Groups | None, confidence: float) -> float:
    """How much larger the variance of the mean is than for as many single rows, at least 1.

    Between equal scores, or within one group only, nothing can be estimated: then a group counts as one row.
    """
    n = len(values)
    residual_sums, sizes = group_sums(values - values.mean(), groups)
    num_groups = len(sizes)
    if num_groups == n:
        return 1.0
    rows = float(((values - values.mean()) ** 2).sum()) * n / (n - 1)
    if num_groups == 1 or rows < 1e-12:
        return float((sizes**2).sum() / n)
    tail = (1 + confidence) / 2
    few_groups = student_quantile(tail, num_groups - 1) / student_quantile(tail, n - 1)
    between = float((residual_sums**2).sum()) * num_groups / (num_groups - 1)
    return max(between / rows, 1.0) * few_groups**2


def _sign_flip(sums: Floats) -> float:
    """P of a total at least this far from 0 when every group's sign is a coin's."""
    moved = sums[sums != 0]
    total = abs(float(moved.sum()))
    near = total - ROUNDING * float(np.abs(moved).sum())
    if len(moved) <= MOST_FLIPS_FOR_EXACT:
        patterns = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float((np.abs(2 * (patterns @ moved) - moved.sum()) >= near).mean())
    generator, hits, left, width = np.random.default_rng(0), 0, NUM_DRAWS, len(moved) // 8 + 1
    by_byte = _sums_of_bytes(np.pad(moved, (0, 8 * width - len(moved))))
    while left:
        draws = min(left, max(1, BYTES_AT_ONCE // width))
        drawn = np.frombuffer(generator.bytes(draws * width), np.uint8).reshape(draws, width)
        positive = sum(sums.take(column) for sums, column in zip(by_byte, drawn.T, strict=True))
        hits += int((np.abs(2 * positive - moved.sum()) >= near).sum())
        left -= draws
    return (1 + hits) / (1 + NUM_DRAWS)


def _sums_of_bytes(values: Floats) -> Floats:
    """[bytes, 256]: the sum of those of eight values whose bit is set, for each byte that there is. `values` are in
    eights; looking sums up is four times as fast as multiplying with single bits."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    return values.reshape(-1, 8) @ bits.T.astype(np.float64)
