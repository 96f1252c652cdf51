"""Why the verdict is what it is, and what would change it, in sentences for people.

`why` is exact: path names as people type them, scores as shares of 1, intervals and p-values. The sentences
of `would_change` are for whoever answers for the choice: names in words, points of 100. Each is found by
settling the race again under the condition that it names. A path is called good enough when it is not worse
than any other by more than the margin.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, Context
from itertools import permutations

import numpy as np

from sartor.choosing.labels import label
from sartor.choosing.verdict.points import points
from sartor.choosing.verdict.race import Measured, Race, Word
from sartor.reporting.figures import dollars

MOST_DIGITS = 6


def why(race: Race, needed_rows: int | None) -> str:
    """The reason for the verdict in one to three sentences, the numbers first."""
    order = race.order
    if not race.paths:
        return "No answer of any path could be scored."
    if not order:
        return "No path is within the limits."
    choice, word = race.settle(order)
    if word == "undecided":
        return _open(race, choice, order, needed_rows)
    if len(order) == 1:
        return f"{_scored(race, choice)} and is the only path within the limits."
    return _won(race, choice, order) if word == "decided" else _tied(race, choice, order)


def _won(race: Race, choice: str, order: Sequence[str]) -> str:
    rivals = [name for name in order if name != choice]
    closest = min(rivals, key=lambda name: race.edges[choice, name].comparison.difference)
    told = f"{closest}, {_told(race, choice, closest)}"
    if len(rivals) == 1:
        return f"{_scored(race, choice)}, better than the other path{_allowed(race)} ({told})."
    others = f"each of the {len(rivals)} other paths{_allowed(race)}"
    return f"{_scored(race, choice)}, better than {others} (closest: {told})."


def _tied(race: Race, choice: str, order: Sequence[str]) -> str:
    open_rivals = [name for name in order if name != choice and not race.edges[choice, name].better()]
    closest = max(open_rivals, key=lambda name: race.scores[name].mean)
    safe = _good_enough(race, choice, order)
    reason = "It is the only path that this can be said of"
    if len(safe) > 1:
        reason = f"Of the {len(safe)} paths that this can be said of, it {_advantage(race, safe)}"
    return (f"{_scored(race, choice)}, and no path{_allowed(race)} is better by more than the margin of "
            f"{race.margin:g} (closest: {closest}, {_told(race, choice, closest)}). {reason}.")


def _open(race: Race, choice: str, order: Sequence[str], needed_rows: int | None) -> str:
    rival = race.hardest_rival(choice, order)
    start = (f"{race.num_rows} rows do not settle it: {_scored(race, choice)}, {_scored(race, rival)} "
             f"(difference {_told(race, choice, rival)}).")
    if race.hinges_on_unscored(order):
        return f"{start} The unscored rows could overturn it: score them."
    if needed_rows is None:
        return f"{start} At a margin of {race.margin:g} more rows are not likely to settle it."
    more = f"About {_two_digits(needed_rows - race.num_rows):,} more rows"
    return f"{start} {more} would, were the scores as observed; until then it is {choice}."


def _allowed(race: Race) -> str:
    return " within the limits" if any(path.excluded for path in race.paths.values()) else ""


def _good_enough(race: Race, choice: str, order: Sequence[str]) -> list[str]:
    """The choice and the safe paths that come after it in the order of preference."""
    return [name for name in race.safe(order) if order.index(name) >= order.index(choice)]


def _advantage(race: Race, safe: Sequence[str]) -> str:
    """What puts the first of the `safe` paths before the second."""
    ours, theirs = (race.paths[name].preference for name in safe[:2])
    costs = [race.paths[name].cost_per_1k for name in safe]
    if costs[0] is None:  # a known price comes first, so there is none
        words = ("", "stays on this machine, and no price is known", "learns new facts soonest, and no price is known")
        alike = "has the highest score, and no price is known"
    else:
        cheapest = "is the cheapest" if None not in costs else "is the cheapest of known price"
        words = (cheapest if costs[1] is not None else "is the only one with a known price",
                 "costs no more and stays on this machine", "costs no more and learns new facts soonest")
        alike = "has the highest score, at equal cost"
    differs = (word for word, x, y in zip(words, ours, theirs, strict=True) if x != y)
    return next(differs, alike)


def _scored(race: Race, name: str) -> str:
    score = race.scores[name]
    return f"{name} scores {score.mean:.2f} [{score.low:.2f}, {score.high:.2f}] on {score.n} rows"


def _told(race: Race, a: str, b: str) -> str:
    comparison, p = race.edges[a, b].comparison, race.edges[a, b].p_adjusted
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    interval = f"[{_difference(comparison.low)}, {_difference(comparison.high)}]"
    return f"{_difference(comparison.difference)} {interval}, {chance} after Holm"


def _difference(value: float) -> str:
    """Two decimals, three where two would show nothing."""
    return f"{value:+.3f}" if 0 < abs(value) < 0.01 else f"{value:+.2f}"


def _two_digits(number: int) -> int:
    """Rounded to two significant digits: a planned number of rows is known no better."""
    return round(number, 2 - len(str(number)))


def would_change(race: Race, bounds: Mapping[str, tuple[float, float]]) -> list[str]:
    """What would give another choice or verdict, and how far unscored rows could move a score (`bounds`)."""
    return [*_changes(race), *(_unscored(race.paths[name], *bounds[name]) for name in bounds)]


def _changes(race: Race) -> Iterator[str]:
    order = race.order
    if order:
        now = race.settle(order)
        yield from _without_a_limit(race, order)
        yield from _with_another_margin(race, order, now)
        yield from _at_another_price(race, order, now)
        yield from _with_a_stricter_limit(race, order, now[0])
    elif race.paths:
        yield f"Without the limits, {_would_be(race, race.preferred_first(race.paths))}."


def _would_be(race: Race, order: Sequence[str]) -> str:
    """`prompting would be the choice: …` for the paths of `order`, in order of preference."""
    choice, word = race.settle(order)
    if word == "undecided":
        return f"it would be undecided, with {label(choice)} for now"
    safe = _good_enough(race, choice, order)
    if len(order) == 1:
        reason = "it is the only one left"
    elif word == "decided":
        reason = f"it is better than every other path{' left' if len(order) < len(race.paths) else ''}"
    elif len(safe) == 1:
        reason = "no other is good enough"
    else:
        reason = f"of the {len(safe)} that are good enough, it {_advantage(race, safe)}"
    return f"{label(choice)} would be the choice: {reason}"


def _without_a_limit(race: Race, order: Sequence[str]) -> Iterator[str]:
    for name, path in race.paths.items():
        allowed = race.preferred_first([*order, name])
        if path.excluded and race.settle(allowed)[0] == name:
            score = f"{100 * race.scores[name].mean:.0f} points of 100"
            yield (f"If {label(name)} ({score}) were allowed, {_would_be(race, allowed)}. "
                   f"It is ruled out now: {'; '.join(path.excluded)}.")


def _with_another_margin(race: Race, order: Sequence[str], now: tuple[str, Word]) -> Iterator[str]:
    """The nearest margins, in thousandths, above and below the present one that give another answer."""
    edges = (race.edges[pair] for pair in permutations(order, 2))
    turns = sorted(-min(edge.low_for_all, edge.worst) for edge in edges)
    above = [math.floor(turn * 1000 + 1) / 1000 for turn in turns if race.margin <= turn < 1]
    below = [math.floor(turn * 1000) / 1000 for turn in reversed(turns) if 0 <= turn < race.margin]
    for margins, words in ((above, "up to"), (below, "no more than")):
        for margin in margins:
            then = replace(race, margin=margin)
            choice, word = then.settle(order)
            if choice != now[0] or (word == "undecided") != (now[1] == "undecided"):
                loss = f"losing {words} {points(margin)}" if margin else "no loss at all"
                present = points(race.margin) if race.margin else "none"
                yield f"If {loss} were acceptable (now {present}), {_would_be(then, order)}."
                break


def _at_another_price(race: Race, order: Sequence[str], now: tuple[str, Word]) -> Iterator[str]:
    """The price at which the cheaper of two safe paths loses its place."""
    safe = _good_enough(race, now[0], order)
    if now[1] != "tie" or len(safe) < 2:
        return
    path, theirs = race.paths[safe[0]], race.paths[safe[1]].cost_per_1k
    if path.cost_per_1k is not None and theirs is not None and path.cost_per_1k < theirs:
        dearer = replace(path, cost_per_1k=math.nextafter(theirs, math.inf))
        then = replace(race, paths={**race.paths, path.name: dearer})
        price = f"{dollars(theirs)} for 1,000 answers (now {dollars(path.cost_per_1k)})"
        yield f"If {label(path.name)} cost more than {price}, {_would_be(then, then.order)}."


def _with_a_stricter_limit(race: Race, order: Sequence[str], choice: str) -> Iterator[str]:
    """What limits lead to that the choice would break and some other path keeps."""
    ours, others = race.paths[choice], [race.paths[name] for name in order if name != choice]
    quicker = {path.name: path.latency_p95_seconds for path in others
               if path.latency_p95_seconds < ours.latency_p95_seconds}
    if quicker and (most := _between(max(quicker.values()), ours.latency_p95_seconds)) is not None:
        limit = f"within {most:g} s (now {ours.latency_p95_seconds:.3g} s)"
        yield f"If 95 of 100 answers had to come {limit}, {_would_be(race, list(quicker))}."
    cost = ours.cost_per_1k or 0.0
    cheaper = {path.name: path.cost_per_1k for path in others
               if path.cost_per_1k is not None and path.cost_per_1k < cost}
    if cheaper and (most := _between(max(cheaper.values()), cost)) is not None:
        price = dollars(most) if most >= 0.1 and most == round(most, 2) else f"${most:g}"
        limit = f"{price} at most (now {dollars(cost)})"
        yield f"If 1,000 answers had to cost {limit}, {_would_be(race, list(cheaper))}."
    local = [path.name for path in others if path.local]
    if local and not ours.local:
        yield f"If nothing were allowed to leave this machine, {_would_be(race, local)}."


def _between(low: float, high: float) -> float | None:
    """The shortest decimal number from `low` on and below `high`; None where it takes too many digits."""
    for digits in range(1, MOST_DIGITS + 1):
        found = float(Context(prec=digits, rounding=ROUND_CEILING).create_decimal(repr(low)))
        if found < high:
            return found
    return None


def _unscored(path: Measured, low: float, high: float) -> str:
    num_unscored = int(np.isnan(path.scores).sum())
    return (f"{num_unscored:,} answers of {label(path.name)} could not be scored; whatever they are worth, "
            f"its score is from {100 * low:.1f} to {100 * high:.1f} points of 100.")
