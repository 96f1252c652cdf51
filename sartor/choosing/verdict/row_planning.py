"""How many rows would settle a race, were the scores as observed: found by drawing such rows and deciding on them.

Rows (whole groups, where rows come in groups) are drawn with replacement from the measured ones, all paths' scores of a
row together, and the rule of the verdict is applied to each draw. The number of rows is right when it settles the race
for the choice in 80 of 100 draws. Closed formulas (Connor 1987, Biometrics 43, 207-211) give the power of a single
comparison; a decision needs several at once, with Holm's correction, and they depend on each other.

P-values are computed from the normal distribution here (for McNemar's test with the continuity correction), intervals
as `statistics.difference_interval` does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sartor.choosing.verdict.race import ALPHA, Race
from sartor.choosing.verdict.settling import settled
from sartor.evaluation.seed_variation import seeds_half_width
from sartor.evaluation.statistics import UNSEEN_WEIGHT, group_sums, student_quantile

Floats = NDArray[np.float64]

POWER = 0.8
NUM_DRAWS = 1_000
MOST_ROWS = 1_000_000  # beyond it nobody collects: "more rows are not likely to settle it"
FINE_ENOUGH = 1.02  # ratio of two numbers of rows that need not be told apart

_upper_tail = np.vectorize(lambda z: math.erfc(z / math.sqrt(2)), otypes=[np.float64])


def rows_that_settle(race: Race, choice: str, order: Sequence[str], fewest: int) -> int | None:
    """Rows in all, `fewest` at least, that settle it for `choice` in 80 of 100 draws; None where not even `MOST_ROWS`
    do."""
    planned, place = _Plan.of(race, order), order.index(choice)
    if planned.share_settled(fewest, place) >= POWER:
        return fewest
    few, many = fewest, 2 * fewest
    while planned.share_settled(many, place) < POWER:
        if many >= MOST_ROWS:
            return None
        few, many = many, 2 * many
    while many > few * FINE_ENOUGH + 1:
        middle = (few + many) // 2
        few, many = (few, middle) if planned.share_settled(middle, place) >= POWER else (middle, many)
    return many


@dataclass(frozen=True)
class _Plan:
    """What drawing needs. `sums` and `sizes` are [groups, pairs]: differences and numbers of rows scored for both, of
    groups that are unlike, each with its share of all groups; `seeds` [pairs] and `seeds_for_all` the parts of the
    intervals that more rows do not narrow."""

    sums: Floats
    sizes: Floats
    shares: Floats
    binary: NDArray[np.bool_]
    seeds: Floats
    seeds_for_all: Floats
    pairs: list[tuple[int, int]]
    num_paths: int
    dominated: NDArray[np.bool_]
    wanted: list[int]
    rows_a_group: float
    margin: float

    @staticmethod
    def of(race: Race, order: Sequence[str]) -> "_Plan":
        names = list(race.paths)
        scores = [race.paths[name].scores for name in names]
        pairs = list(combinations(range(len(names)), 2))
        columns, sizes, binary = [], [], []
        for a, b in pairs:
            both = ~np.isnan(scores[a]) & ~np.isnan(scores[b])
            difference = np.where(both, scores[a] - scores[b], 0.0)
            columns.append(group_sums(difference, race.groups)[0])
            sizes.append(group_sums(both.astype(np.float64), race.groups)[0])
            single = len(columns[-1]) == race.num_rows
            binary.append(single and all(bool(np.isin(scores[i][both], (0, 1)).all()) for i in (a, b)))
        unlike, copies = np.unique(np.hstack([np.stack(columns, 1), np.stack(sizes, 1)]), axis=0, return_counts=True)
        widths = [[_seeds(race, a, b, 1 - ALPHA / n) for a, b in _named(pairs, names)] for n in (1, len(pairs))]
        dominated = race.dominated(order)
        return _Plan(
            unlike[:, : len(pairs)], unlike[:, len(pairs) :], copies / len(columns[0]),
            np.array(binary), np.array(widths[0]), np.array(widths[1]),
            pairs, len(names), np.array([name in dominated for name in order]),
            [names.index(name) for name in order], race.num_rows / len(columns[0]), race.margin,
        )  # fmt: skip

    def share_settled(self, num_rows: int, place: int) -> float:
        """Of `NUM_DRAWS` draws of so many rows, how many settle on the path at `place` in the order."""
        generator = np.random.default_rng(num_rows)
        drawn = max(2, round(num_rows / self.rows_a_group))
        counts = generator.multinomial(drawn, self.shares, NUM_DRAWS).astype(np.float64)
        totals, squares = counts @ self.sums, counts @ self.sums**2
        rows, seen = counts @ self.sizes, counts @ (self.sums != 0).astype(np.float64)
        average = np.maximum(rows / drawn, 1e-9)
        added = np.where(self.binary, 1.0, _beyond_seen(np.abs(self.sums).max(0), seen, average))
        middle = totals / (rows + 2 * average)
        deviations = (
            squares + 2 * added**2
            - 2 * middle * (counts @ (self.sums * self.sizes))
            + middle**2 * (counts @ self.sizes**2 + 2 * average**2)
        )  # fmt: skip
        error = np.sqrt(np.maximum(deviations, 0)) / (rows + 2 * average)
        half, half_for_all = (
            self._halves(error, drawn, 1.0, self.seeds),
            self._halves(error, drawn, len(self.pairs), self.seeds_for_all),
        )
        continuity = np.where(self.binary, 1.0, 0.0)
        z = np.maximum(np.abs(totals) - continuity, 0) / np.sqrt(np.maximum(squares, 1e-12))
        shown = _holm(_upper_tail(z)) < ALPHA
        return self._share(shown, middle, half, half_for_all, place)

    def _halves(self, error: Floats, drawn: int, num_claims: float, seeds: Floats) -> Floats:
        tail = 1 - ALPHA / num_claims / 2
        quantile = np.where(self.binary, NormalDist().inv_cdf(tail), student_quantile(tail, drawn - 1))
        return np.hypot(quantile * error, seeds)

    def _share(self, shown: NDArray[np.bool_], middle: Floats, half: Floats, half_for_all: Floats, place: int) -> float:
        better = np.zeros((NUM_DRAWS, self.num_paths, self.num_paths), dtype=bool)
        not_worse = better.copy()
        for pair, (a, b) in enumerate(self.pairs):
            for first, second, sign in ((a, b, 1), (b, a, -1)):
                difference = sign * middle[:, pair]
                better[:, first, second] = shown[:, pair] & (difference - half[:, pair] > 0)
                not_worse[:, first, second] = difference - half_for_all[:, pair] > -self.margin
        picked = np.ix_(range(NUM_DRAWS), self.wanted, self.wanted)
        choice, _ = settled(better[picked], (better | not_worse)[picked], self.dominated)
        return float((choice == place).mean())


def _named(pairs: Sequence[tuple[int, int]], names: Sequence[str]) -> list[tuple[str, str]]:
    return [(names[a], names[b]) for a, b in pairs]


def _seeds(race: Race, a: str, b: str, confidence: float) -> float:
    trainings = [race.paths[name].trainings for name in (a, b)]
    scored = ~np.isnan(np.vstack(trainings)).any(0)
    if not scored.any():
        return 0.0
    return math.hypot(*(seeds_half_width(each[:, scored], confidence) for each in trainings))


def _beyond_seen(largest: Floats, seen: Floats, most: Floats) -> Floats:
    """`statistics.beyond_seen` for arrays."""
    return (seen * largest + UNSEEN_WEIGHT * most) / (seen + UNSEEN_WEIGHT)


def _holm(p_values: Floats) -> Floats:
    """`statistics.holm` along the last axis."""
    order = np.argsort(p_values, -1)
    count = p_values.shape[-1]
    ranked = np.take_along_axis(p_values, order, -1) * np.arange(count, 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(ranked, -1), 1.0)
    return np.take_along_axis(adjusted, np.argsort(order, -1), -1)
