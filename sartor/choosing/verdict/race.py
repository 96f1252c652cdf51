"""Which path the comparisons speak for, at one margin: the rule of `verdict.decide` without its words.

The same race can be run again with other paths, another margin or another price; that is how the explanation
and the table of sensitivity find out what would change the verdict.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sartor.choosing.verdict.settling import NONE, Bools, settled
from sartor.evaluation.statistics import ROUNDING, Comparison, Groups, Interval

ALPHA = 0.05

Word = Literal["decided", "tie", "undecided"]


@dataclass(frozen=True)
class Measured:
    """One path as measured. `scores[i]` belongs to test row i, in [0, 1], NaN where it could not be scored.

    `cost_per_1k` is in US dollars for 1,000 answers, None where unknown. `freshness_seconds` is how long a
    change in the documents takes to reach the answers, None where it never does. `excluded` holds reasons
    found by the caller why this path must not be chosen; limits add theirs here. `by_seed` is [seeds, rows],
    NaN where unscored, for a path that was trained several times: then `scores` are the means over the trainings.
    """

    name: str
    scores: NDArray[np.float64]
    cost_per_1k: float | None
    latency_p95_seconds: float
    local: bool
    freshness_seconds: float | None = None
    excluded: tuple[str, ...] = ()
    by_seed: NDArray[np.float64] | None = None

    @property
    def preference(self) -> tuple[float, bool, float]:
        """Less is preferred: cost, then what leaves the machine, then the time until changes are known."""
        cost = math.inf if self.cost_per_1k is None else self.cost_per_1k
        return cost, not self.local, math.inf if self.freshness_seconds is None else self.freshness_seconds

    @property
    def trainings(self) -> NDArray[np.float64]:
        """[seeds, rows], one for a path that was not trained several times."""
        return self.scores[None] if self.by_seed is None else self.by_seed


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
    margin: float
    groups: Groups | None = None

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.paths.values())).scores)

    @property
    def order(self) -> list[str]:
        """The paths within the limits in order of preference."""
        return self.preferred_first(name for name, path in self.paths.items() if not path.excluded)

    def preferred_first(self, names: Iterable[str]) -> list[str]:
        return sorted(names, key=lambda name: (*self.paths[name].preference, -self.scores[name].mean))

    def safe(self, order: Sequence[str]) -> list[str]:
        """The paths of `order` that are not worse than any other of it."""
        return [x for x in order if all(self.edges[x, y].not_worse(self.margin) for y in order if y != x)]

    def dominated(self, order: Sequence[str]) -> dict[str, str]:
        """The paths of `order` off the Pareto front, each with the best one that equals or beats it in everything as
        observed: score, cost, speed, what leaves the machine, and how soon changes are known."""
        front: dict[str, str] = {}
        for name in order:
            above = [other for other in order if other != name and self._dominates(other, name)]
            if above:
                front[name] = max(above, key=lambda other: self.scores[other].mean)
        return front

    def _dominates(self, a: str, b: str) -> bool:
        if (self.paths[a].cost_per_1k is None) != (self.paths[b].cost_per_1k is None):
            return False  # an unknown price may be the lower one
        ours, theirs = self._costs(a), self._costs(b)
        return ours != theirs and all(x <= y for x, y in zip(ours, theirs, strict=True))

    def _costs(self, name: str) -> tuple[float, ...]:
        """What one would have less of."""
        path = self.paths[name]
        return (-self.scores[name].mean, path.latency_p95_seconds, *path.preference)

    def settle(self, order: Sequence[str]) -> tuple[str, Word]:
        """The choice and the verdict's word among the paths of `order` (at least one). While nothing is settled, the
        choice is what it would be if the scores were exactly as observed."""
        choice, decided = self._settled(order, Edge.better, lambda edge: edge.not_worse(self.margin))
        if choice is not None:
            return choice, "decided" if decided else "tie"
        choice, _ = self._settled(
            order,
            lambda edge: edge.comparison.difference > ROUNDING,
            lambda edge: edge.comparison.difference > ROUNDING - self.margin,
        )
        return choice or max(order, key=lambda name: self.scores[name].mean), "undecided"

    def _settled(
        self, order: Sequence[str], better: Callable[[Edge], bool], not_worse: Callable[[Edge], bool]
    ) -> tuple[str | None, bool]:
        dominated = self.dominated(order)
        place, decided = settled(
            self._table(order, better), self._table(order, not_worse), np.array([name in dominated for name in order])
        )
        return None if place == NONE else order[int(place)], bool(decided)

    def _table(self, order: Sequence[str], holds: Callable[[Edge], bool]) -> Bools:
        return np.array([[x != y and holds(self.edges[x, y]) for y in order] for x in order])

    def hinges_on_unscored(self, order: Sequence[str]) -> bool:
        """Whether it would be settled, were there no unscored rows to go against a path."""
        edges = {pair: replace(edge, worst=edge.comparison.difference) for pair, edge in self.edges.items()}
        return replace(self, edges=edges).settle(order)[1] != "undecided"

    def hardest_rival(self, choice: str, order: Sequence[str]) -> str:
        """The path of `order` that the rows say least about, of those that stand in the way of `choice`."""
        beaten = {y for y in order if any(self.edges[x, y].better() for x in order if x != y)}
        before = set(order[: order.index(choice)]) - beaten - self.dominated(order).keys()
        rivals = [y for y in order if y != choice]
        open_rivals = [y for y in rivals if y in before or not self.edges[choice, y].not_worse(self.margin)]
        return min(open_rivals or rivals, key=lambda y: self._shown(choice, y))

    def _shown(self, choice: str, rival: str) -> float:
        """How far the difference to `rival` is from what would get it out of the way, in standard errors of a row."""
        comparison = self.edges[choice, rival].comparison
        room = max(abs(comparison.difference), comparison.difference + self.margin)
        return room / math.sqrt(max(comparison.spread, ROUNDING))
