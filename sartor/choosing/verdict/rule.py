"""From measurements of several paths on the same test rows to one decision, in words.

1. Limits come first. A path that breaks one (too slow, too dear, not local, score too low) is out, and its
   reason is kept. References (closed-book, oracle) are no paths and not given to the decision at all.
2. A path within the limits is *dominated* when another one scores at least as high, costs no more, answers as
   fast, keeps as much on this machine and knows changes as soon, all as observed, and is better in one of
   these; of two paths of which one price is known neither dominates. A dominated path is off the Pareto front
   and never chosen; it stays a rival, for that it scores lower is observed and not shown.
3. Every pair of paths is compared row against row. One path is *better* than another when the test says so
   (p < 0.05 after Holm's correction for the number of pairs) and the 95 % interval of the difference lies
   above zero. It is *not worse* when it is better, or when even the low end of the difference, at 95 % for
   all pairs together, is above minus the margin. The margin is the loss of score that one would accept for a
   cheaper path: `margin` among the limits, 0.02 if not given.
4. A path is *safe* when it is on the front and not worse than any other within the limits. Among safe paths
   the cheapest is taken, one of unknown price last; at equal cost a local one; then the one that follows
   changed documents soonest; then the one with the highest score.
5. The word for it:

   - "decided": the choice is better than every other path within the limits, or is the only one.
   - "tie": the choice is safe, but not better than all. Some other path scores as high as far as the margin
     matters, and the order of step 4 made the choice. A cheaper path within the margin of the best one wins
     this way, even over one that is shown to be slightly better.
   - "undecided": no path is safe yet, or one that comes earlier in the order is neither safe, beaten nor
     dominated. More rows would tell: `needed_rows` says how many in all (`row_planning`: 80 % power, were the
     scores as observed), and `choice` is, for now, what it would be if the scores were exactly as observed.

Of two paths whose answers are exchanged at random one is "decided" in at most 5 % of the cases, of two with the same
answers never; `python -m benchmarks.verdict_calibration` measures this on recorded answers.

A path that was trained several times is compared with its trainings (`evaluation.seed_variation`): a difference
must stand out from the rows and from how trainings differ.

Unscored rows (a judge that failed, a call that timed out) are neither right nor wrong. They are left out of
comparisons, but a claim must also hold for the observed difference in the worst case, where each unscored
row goes against it. `bounds` has the lowest and highest score that a path with unscored rows could have.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.base.errors import UsageError
from sartor.choosing.verdict.explanation import why, would_change
from sartor.choosing.verdict.race import ALPHA, Edge, Edges, Measured, Race, Word
from sartor.choosing.verdict.row_planning import rows_that_settle
from sartor.evaluation.seed_variation import (
    seeded_difference,
    seeded_difference_interval,
    seeded_mean_interval,
)
from sartor.evaluation.statistics import Comparison, Groups, Interval, holm
from sartor.reporting.figures import dollars

DEFAULT_MARGIN = 0.02
LIMITS = ("local_only", "p95_seconds", "cost_per_1k", "min_score", "margin")


@dataclass(frozen=True)
class Verdict:
    """The decision. `choice` is None when no path is within the limits.

    `needed_rows` counts rows in all, not more rows. `comparisons` has all pairs, as choice.json wants them,
    the path with the higher score as `a`. `excluded` has reasons by path, `dominated` the path that equals or
    beats another in everything, `scores` the interval of every path that has a score, `bounds` the lowest and
    highest possible score of the paths that have unscored rows. `race` can be settled again under other
    conditions; None when no path has a score.
    """

    choice: str | None
    verdict: Word
    needed_rows: int | None
    why: str
    would_change: list[str]
    comparisons: list[dict[str, Any]]
    excluded: dict[str, list[str]]
    scores: dict[str, Interval]
    bounds: dict[str, tuple[float, float]]
    dominated: dict[str, str]
    race: Race | None


def decide(
    paths: Sequence[Measured], groups: Groups | None = None, limits: Mapping[str, Any] | None = None
) -> Verdict:
    """Choose among `paths`, as the module's text says. `groups[i]` is the group of row i.

    `limits` may hold local_only, p95_seconds, cost_per_1k, min_score and margin; UsageError for any other
    key. ValueError when the paths are not measured on the same rows.
    """
    limits = {key: value for key, value in (limits or {}).items() if value is not None}
    margin = _margin(limits)
    _check_alignment(paths, groups)
    scores = {path.name: _interval(path, groups) for path in paths if _is_scored(path).any()}
    paths = within_limits(paths, scores, limits)
    known = sorted((path for path in paths if path.name in scores), key=lambda path: -scores[path.name].mean)
    race = race_of(known, groups, margin, scores)
    choice, word, needed = _outcome(race)
    bounds = {path.name: _bounds(path.scores) for path in known if not _is_scored(path).all()}
    return Verdict(
        choice, word, needed, why(race, needed), would_change(race, bounds),
        [_as_json(a.name, b.name, race.edges[a.name, b.name]) for a, b in combinations(known, 2)],
        {path.name: list(path.excluded) for path in paths if path.excluded}, scores, bounds,
        race.dominated(race.order), race if race.paths else None,
    )  # fmt: skip


def within_limits(
    paths: Sequence[Measured], scores: Mapping[str, Interval], limits: Mapping[str, Any]
) -> list[Measured]:
    """The paths with the limits that each breaks among its reasons to be excluded; a limit of None is none."""
    limits = {key: value for key, value in limits.items() if value is not None}
    return [replace(path, excluded=path.excluded + _broken_limits(path, scores, limits)) for path in paths]


def race_of(
    paths: Sequence[Measured],
    groups: Groups | None = None,
    margin: float = DEFAULT_MARGIN,
    scores: Mapping[str, Interval] | None = None,
) -> Race:
    """The comparisons between `paths`, of which each has a score, as a race to settle. `scores` are their intervals,
    where they are known."""
    scores = scores or {path.name: _interval(path, groups) for path in paths}
    edges = _edges(list(combinations(paths, 2)), groups)
    return Race({path.name: path for path in paths}, scores, edges, margin, groups)


def _outcome(race: Race) -> tuple[str | None, Word, int | None]:
    """Choice, word and rows needed (None where more rows are not what is missing)."""
    order = race.order
    if not order:
        return None, "undecided", None
    choice, word = race.settle(order)
    if word != "undecided" or race.hinges_on_unscored(order):
        return choice, word, None
    more = race.num_rows + max(10, race.num_rows // 10)
    return choice, word, rows_that_settle(race, choice, order, more)


def _margin(limits: Mapping[str, Any]) -> float:
    for key in limits:
        if key not in LIMITS:
            raise UsageError(f"unknown limit: {key}", hint=f"limits: {', '.join(LIMITS)}")
    margin = float(limits.get("margin", DEFAULT_MARGIN))
    if not 0 <= margin < 1:
        hint = "0.02 accepts a loss of 2 points of 100"
        raise UsageError(f"margin must be at least 0 and below 1: {margin:g}", hint=hint)
    return margin


def _check_alignment(paths: Sequence[Measured], groups: Groups | None) -> None:
    lengths = {len(path.scores) for path in paths} | ({len(groups)} if groups is not None else set())
    if len(lengths) != 1:
        raise ValueError(f"the paths are not measured on the same rows: {sorted(lengths)}")
    if len({path.name for path in paths}) != len(paths):
        raise ValueError("two paths have the same name")


def _broken_limits(
    path: Measured, scores: Mapping[str, Interval], limits: Mapping[str, Any]
) -> tuple[str, ...]:
    broken, seconds, cost = [], path.latency_p95_seconds, path.cost_per_1k
    if path.name not in scores:
        broken.append("no row could be scored")
    elif scores[path.name].mean < limits.get("min_score", 0.0):
        asked = f"at least {limits['min_score']:g} is asked for (min_score)"
        broken.append(f"its score is {scores[path.name].mean:.3f}, and {asked}")
    if limits.get("local_only") and not path.local:
        broken.append("it is not local, and only local paths are allowed (local_only)")
    if seconds > limits.get("p95_seconds", math.inf):
        allowed = f"{limits['p95_seconds']:g} s are allowed (p95_seconds)"
        broken.append(f"95 of 100 answers come within {seconds:.3g} s, and {allowed}")
    if "cost_per_1k" in limits and (cost is None or cost > limits["cost_per_1k"]):
        price = "an unknown price" if cost is None else dollars(cost)
        allowed = f"{dollars(limits['cost_per_1k'])} is allowed (cost_per_1k)"
        broken.append(f"1,000 answers cost {price}, and {allowed}")
    return tuple(broken)


def _is_scored(path: Measured) -> NDArray[np.bool_]:
    return ~np.isnan(path.scores)


def _picked(groups: Groups | None, keep: NDArray[np.bool_]) -> Groups | None:
    return None if groups is None else [group for group, kept in zip(groups, keep, strict=True) if kept]


def _interval(path: Measured, groups: Groups | None) -> Interval:
    keep = _is_scored(path)
    return seeded_mean_interval(path.trainings[:, keep], _picked(groups, keep))


def _bounds(scores: NDArray[np.float64]) -> tuple[float, float]:
    return float(np.nan_to_num(scores, nan=0.0).mean()), float(np.nan_to_num(scores, nan=1.0).mean())


def _edges(pairs: Sequence[tuple[Measured, Measured]], groups: Groups | None) -> Edges:
    """Both directions of every pair, corrected for how many they are."""
    compared = [_compare(a, b, groups, 1 - ALPHA / len(pairs)) for a, b in pairs]
    adjusted = holm([comparison.p for comparison, _, _ in compared])
    edges = {}
    for (a, b), (comparison, low, high), p in zip(pairs, compared, adjusted, strict=True):
        (a_low, a_high), (b_low, b_high) = _bounds(a.scores), _bounds(b.scores)
        edges[a.name, b.name] = Edge(comparison, low, a_low - b_high, p)
        edges[b.name, a.name] = Edge(_reversed(comparison), -high, b_low - a_high, p)
    return edges


def _compare(
    a: Measured, b: Measured, groups: Groups | None, joint_confidence: float
) -> tuple[Comparison, float, float]:
    """The comparison on the rows scored for both, and its limits at joint confidence."""
    keep = _is_scored(a) & _is_scored(b)
    if not keep.any():
        gap = float(np.nanmean(a.scores) - np.nanmean(b.scores))
        return Comparison(gap, -1.0, 1.0, 1.0, "none: no row has both scores", 0, 1.0, 0), -1.0, 1.0
    ours, theirs, shared = a.trainings[:, keep], b.trainings[:, keep], _picked(groups, keep)
    comparison = seeded_difference(ours, theirs, shared, 1 - ALPHA)
    return comparison, *seeded_difference_interval(ours, theirs, shared, joint_confidence)


def _reversed(c: Comparison) -> Comparison:
    return replace(c, difference=-c.difference, low=-c.high, high=-c.low)


def _as_json(a: str, b: str, edge: Edge) -> dict[str, Any]:
    c = edge.comparison
    return {"a": a, "b": b, "difference": c.difference, "ci": [c.low, c.high], "p": c.p,
            "p_adjusted": edge.p_adjusted, "test": c.test}
