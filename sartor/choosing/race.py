"""Which path the comparisons speak for, at one margin: the rule of `verdict.decide` without its words.

The same race can be run again with other paths, another margin or another price; that is how the explanation
finds out what would change the verdict.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sartor.evaluation.statistics import Comparison, Interval, rows_needed, rows_needed_within

ALPHA = 0.05

Word = Literal["decided", "tie", "undecided"]


@dataclass(frozen=True)
class Measured:
    """One path as measured. `scores[i]` belongs to test row i, in [0, 1], NaN where it could not be scored.

    `cost_per_1k` is in US dollars for 1,000 answers, None where unknown. `freshness_seconds` is how long a
    change in the documents takes to reach the answers, None where it never does. `excluded` holds reasons
    found by the caller why this path must not be chosen; limits add theirs here.
    """

    name: str
    scores: NDArray[np.float64]
    cost_per_1k: float | None
    latency_p95_seconds: float
    local: bool
    freshness_seconds: float | None = None
    excluded: tuple[str, ...] = ()

    @property
    def preference(self) -> tuple[float, bool, float]:
        """Less is preferred: cost, then what leaves the machine, then the time until changes are known."""
        cost = math.inf if self.cost_per_1k is None else self.cost_per_1k
        return cost, not self.local, math.inf if self.freshness_seconds is None else self.freshness_seconds


@dataclass(frozen=True)
class Edge:
    """What is known about the first path of a pair minus the second.

    `low_for_all` is the low end of the interval at joint confidence, `worst` the difference when every
    unscored row goes against the first.
    """

    comparison: Comparison
    low_for_all: float
    worst: float
    p_adjusted: float

    def better(self) -> bool:
        return self.p_adjusted < ALPHA and self.comparison.low > 0 and self.worst > 0

    def not_worse(self, margin: float) -> bool:
        return self.better() or min(self.low_for_all, self.worst) > -margin


Edges = dict[tuple[str, str], Edge]


@dataclass(frozen=True)
class Race:
    """What the comparisons allow to say about the paths within the limits, at one margin.

    `paths` are all that have a score, `edges` both directions of every pair of them.
    """

    paths: Mapping[str, Measured]
    scores: Mapping[str, Interval]
    edges: Edges
    num_rows: int
    margin: float

    @property
    def order(self) -> list[str]:
        """The paths within the limits in order of preference."""
        return self.preferred_first(name for name, path in self.paths.items() if not path.excluded)

    def preferred_first(self, names: Iterable[str]) -> list[str]:
        return sorted(names, key=lambda name: (*self.paths[name].preference, -self.scores[name].mean))

    def safe(self, order: Sequence[str]) -> list[str]:
        """The paths of `order` that are not worse than any other of it."""
        return [x for x in order if all(self.edges[x, y].not_worse(self.margin) for y in order if y != x)]

    def settle(self, order: Sequence[str]) -> tuple[str, Word]:
        """The choice and the verdict's word among the paths of `order` (at least one)."""
        safe = self.safe(order)
        if safe and all(self._beaten(path, order) for path in order[: order.index(safe[0])]):
            beats_all = all(self.edges[safe[0], y].better() for y in order if y != safe[0])
            return safe[0], "decided" if beats_all else "tie"
        nearest = min(order, key=lambda x: (self._rows_for(x, order), -self.scores[x].mean))
        return nearest, "undecided"

    def _beaten(self, path: str, order: Sequence[str]) -> bool:
        return any(self.edges[y, path].better() for y in order if y != path)

    def hinges_on_unscored(self, order: Sequence[str]) -> bool:
        """Whether it would be settled, were there no unscored rows to go against a path."""
        edges = {pair: replace(edge, worst=edge.comparison.difference) for pair, edge in self.edges.items()}
        return replace(self, edges=edges).settle(order)[1] != "undecided"

    def needed_rows(self, choice: str, order: Sequence[str]) -> int | None:
        """Rows in all that would settle it for `choice`; None where more rows are not what is missing."""
        rows = self._rows_for(choice, order)
        if math.isinf(rows) or self.hinges_on_unscored(order):
            return None
        return max(int(rows), self.num_rows + max(10, self.num_rows // 10))

    def hardest_rival(self, choice: str, order: Sequence[str]) -> str:
        """The path of `order` that takes the most rows to get out of the way of `choice`."""
        return max((y for y in order if y != choice), key=lambda y: self._rows_against(choice, y, order))

    def _rows_for(self, choice: str, order: Sequence[str]) -> float:
        """Rows that settle it for `choice` were the observed differences true; infinite when none would."""
        return max((self._rows_against(choice, y, order) for y in order if y != choice), default=0.0)

    def _rows_against(self, choice: str, rival: str, order: Sequence[str]) -> float:
        """Rows after which `rival` no longer stands in the way of `choice`; 0 when it does not now."""
        edge, needed = self.edges[choice, rival], 0.0
        if not edge.not_worse(self.margin):
            gap, spread = edge.comparison.difference, edge.comparison.spread
            within = rows_needed_within(self.margin, gap, spread, self._alpha)
            needed = min(self._rows_to_beat(choice, rival), math.inf if within is None else within)
        if order.index(rival) < order.index(choice) and not self._beaten(rival, order):
            needed = max(needed, min(self._rows_to_beat(y, rival) for y in order if y != rival))
        return needed

    def _rows_to_beat(self, path: str, rival: str) -> float:
        comparison = self.edges[path, rival].comparison
        needed = rows_needed(comparison.difference, comparison.spread, self._alpha)
        return math.inf if needed is None or comparison.difference < 0 else needed

    @property
    def _alpha(self) -> float:
        return ALPHA * 2 / len(self.edges)
