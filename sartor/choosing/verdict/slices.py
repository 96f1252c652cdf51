"""Parts of the test rows in which another path wins than over all rows.

Two ways of cutting are looked at, both fixed before any score is seen: the rows' `group`, where groups are large
enough, and the length of the question (the shorter and the longer half). A part is said to have another winner only
when, among its rows, a rival is shown to be better than the choice for all rows: p < 0.05 after Holm's correction over
all parts and rivals together, and the low end of the 95 % interval above 0, or above the margin where the choice is the
preferred one of the two (a difference within the margin does not change the choice). So in a task where no part has
another winner, a false claim is made in at most 5 % of the cases, for all parts together; finding nothing is no proof
that all parts are alike.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.choosing.labels import label
from sartor.choosing.verdict.race import ALPHA, Measured, Race
from sartor.evaluation.seed_variation import seeded_difference, seeded_mean_interval
from sartor.evaluation.statistics import Comparison, Groups, holm
from sartor.reporting.figures import in_points

FEWEST_ROWS = 30  # of a part: below it only enormous differences could be shown

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """Some of the rows. `groups` are what varies independently within it; None: the rows."""

    name: str
    rows: Bools
    groups: Groups | None


@dataclass(frozen=True)
class Slices:
    """`parts` as choice.json wants them, and what was not cut, with the reason."""

    parts: list[dict[str, Any]]
    not_cut: str


def find_slices(race: Race, choice: str | None, groups: Sequence[str], questions: Sequence[str]) -> Slices:
    """Compare the choice with every other path within the limits, part by part. `groups[i]` and `questions[i]` are of
    row i."""
    order = race.order
    if choice is None or len(order) < 2:
        return Slices([], "There are no two paths within the limits to compare.")
    by_group, reason = _by_group(groups)
    parts = [*by_group, *_by_length(questions, groups)]
    compared = [
        (part, rival, compared)
        for part in parts
        for rival in order
        if rival != choice and (compared := _compared(race, rival, choice, part)) is not None
    ]
    adjusted = holm([comparison.p for _, _, comparison in compared])
    winners: dict[str, list[tuple[str, Comparison]]] = {}
    for (part, rival, comparison), p in zip(compared, adjusted, strict=True):
        needed = race.margin if order.index(choice) < order.index(rival) else 0.0
        if p < ALPHA and comparison.low > needed:
            winners.setdefault(part.name, []).append((rival, comparison))
    return Slices([_as_json(race, choice, part, winners.get(part.name, [])) for part in parts], reason)


def _by_group(groups: Sequence[str]) -> tuple[list[Part], str]:
    """The groups with enough rows, and all others together; why not, where that is not at least two."""
    counts = Counter(groups)
    large = [group for group, count in sorted(counts.items()) if count >= FEWEST_ROWS]
    names = np.array(groups)
    if len(counts) == len(groups):
        return [], "Not by group: no two rows are of one group."
    if not large or (len(large) == 1 and len(groups) - counts[large[0]] < FEWEST_ROWS):
        return [], (
            f"Not by group: {len(counts):,} groups of {len(groups) / max(len(counts), 1):.3g} rows on average, and a "
            f"part needs {FEWEST_ROWS} rows to show anything."
        )
    parts = [Part(group, names == group, None) for group in large]
    others = ~np.isin(names, large)
    if others.sum() >= FEWEST_ROWS:
        parts.append(Part("all other groups", others, _picked(groups, others)))
        return parts, ""
    left = int(others.sum())
    return parts, f"{left} rows are in groups of fewer than {FEWEST_ROWS}, which are not looked at." if left else ""


def _by_length(questions: Sequence[str], groups: Sequence[str]) -> list[Part]:
    """The shorter and the longer half of the questions, by words."""
    words = np.array([len(question.split()) for question in questions])
    short = words <= np.median(words)
    if min(short.sum(), (~short).sum()) < FEWEST_ROWS:
        return []
    middle = words[short].max()
    return [
        Part(f"questions of up to {middle} words", short, _picked(groups, short)),
        Part(f"questions of more than {middle} words", ~short, _picked(groups, ~short)),
    ]


def _picked(groups: Sequence[str], rows: Bools) -> list[str]:
    return [group for group, kept in zip(groups, rows, strict=True) if kept]


def _scored(part: Part, *paths: Measured) -> tuple[Bools, Groups | None]:
    """The rows of the part that are scored for all of the paths, and their groups."""
    keep = part.rows & ~np.isnan([path.scores for path in paths]).any(0)
    if part.groups is None:
        return keep, None
    return keep, [group for group, kept in zip(part.groups, keep[part.rows], strict=True) if kept]


def _compared(race: Race, rival: str, choice: str, part: Part) -> Comparison | None:
    ours, theirs = race.paths[rival], race.paths[choice]
    keep, groups = _scored(part, ours, theirs)
    if keep.sum() < FEWEST_ROWS:
        return None
    return seeded_difference(ours.trainings[:, keep], theirs.trainings[:, keep], groups, 1 - ALPHA)


def _as_json(race: Race, choice: str, part: Part, better: list[tuple[str, Comparison]]) -> dict[str, Any]:
    """The best of the rivals that are shown to be better, else the choice for all rows."""
    intervals = {}
    for name, path in race.paths.items():
        keep, groups = _scored(part, path)
        if keep.any():
            intervals[name] = seeded_mean_interval(path.trainings[:, keep], groups)
    found: dict[str, Any] = {
        "group": part.name,
        "n": int(part.rows.sum()),
        "choice": choice,
        "scores": {name: interval.mean for name, interval in intervals.items()},
        "ci": {name: [interval.low, interval.high] for name, interval in intervals.items()},
    }
    if better:
        winner, comparison = max(better, key=lambda each: each[1].difference)
        found["choice"] = winner
        found["sentence"] = (
            f"Of the {part.rows.sum():,} test questions in “{part.name}”, {label(winner)} gets more right than "
            f"{label(choice)}, the choice for all questions: by {in_points(comparison.low)} to "
            f"{in_points(comparison.high)} points of 100."
        )
    return found
