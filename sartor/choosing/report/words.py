"""The first page in sentences: the verdict, why, how sure it is, and what would change it."""

from collections.abc import Sequence
from typing import Any

from sartor.choosing.labels import label
from sartor.choosing.report.comparisons import comparison
from sartor.choosing.report.lines import Line, candidates
from sartor.choosing.verdict.points import points
from sartor.reporting.figures import number, visible


def verdict_word(choice: dict[str, Any], lines: Sequence[Line]) -> str:
    possible = any(line.marked or (line.score is not None and not line.ruled_out) for line in candidates(lines))
    return str(choice.get("verdict") or "undecided") if possible else "no choice"


def meaning(choice: dict[str, Any], lines: Sequence[Line]) -> str:
    """What the verdict's word promises, in one sentence."""
    verdict = verdict_word(choice, lines)
    num_measured = sum(line.score is not None for line in candidates(lines))
    more = _more_rows(choice)
    if verdict == "no choice":
        return "Every path measured breaks a limit." if num_measured else "Nothing is left to choose."
    if num_measured == 1:
        return "Only one path was measured, so there was nothing to compare it with."
    if len(_allowed(lines)) == 1:
        return "It is the only path within the limits, and was compared with none."
    if verdict == "decided":
        return "The lead over every other path within the limits is larger than chance explains."
    if verdict == "tie":
        return f"No other path within the limits is better by more than {_margin(choice)}."
    would = f"about {more:,} more would, were the scores as observed" if more else "see the exact terms below"
    return f"The test questions do not settle which path is best; {would}."


def _allowed(lines: Sequence[Line]) -> list[Line]:
    """The measured paths that break no limit."""
    return [line for line in candidates(lines) if line.score is not None and not line.ruled_out]


def _within(lines: Sequence[Line]) -> str:
    """What a comparison with the other paths must add where some of them break a limit."""
    return " within the limits" if any(line.ruled_out for line in candidates(lines)) else ""


def _more_rows(choice: dict[str, Any]) -> int | None:
    """How many more test rows would decide, to two figures that count; None where no number is known."""
    needed, numbers = choice.get("needed_rows"), [path.get("n") or 0 for path in choice["paths"]]
    more = (needed or 0) - max(numbers)
    return round(more, 2 - len(str(more))) if more > 0 else None


def _margin(choice: dict[str, Any]) -> str:
    margin = number((choice.get("how") or {}).get("margin"))
    return "the margin" if margin is None else f"the margin of {points(margin)}"


def why(choice: dict[str, Any], lines: Sequence[Line]) -> str:
    """The rule that led to the verdict, and what the path named gains over prompting alone."""
    lines = candidates(lines)
    allowed = _allowed(lines)
    num_others = sum(not line.marked for line in allowed)
    verdict = verdict_word(choice, lines)
    if verdict == "no choice":
        return ""
    if verdict == "undecided":
        rule = "It is what would be chosen, were the scores exactly as observed"
    elif num_others == 0:
        rule = "It is the only path within the limits"
    elif verdict == "tie":
        rule = (
            f"Of the paths that none{_within(lines)} beats by more than {_margin(choice)}, it is "
            f"{_preferred(allowed)}, or the one that learns new facts soonest"
        )
    elif num_others == 1:
        rule = f"It is better than the other path{_within(lines)}"
    else:
        rule = f"It is better than each of the {num_others} other paths{_within(lines)}"
    return f"{rule}{_gain(lines)}."


def _preferred(allowed: Sequence[Line]) -> str:
    """What is preferred first among paths that are good enough: nothing is said of a price that is not known."""
    known = [line.dollars is not None for line in allowed]
    if not any(known):
        return "the local one (no price is known)"
    return f"the cheapest{'' if all(known) else ' of known price'}, or else the local one"


def _gain(lines: Sequence[Line]) -> str:
    marked = next((line for line in lines if line.marked), None)
    plain = next((line for line in lines if line.record["name"] == "prompt"), None)
    if marked is None or plain is None or marked is plain or marked.score is None or plain.score is None:
        return ""
    gain = marked.score - plain.score
    return f"; it scores {abs(gain):.0f} points {'more' if gain >= 0 else 'less'} than prompting alone"


def headline(choice: dict[str, Any], lines: Sequence[Line]) -> str:
    """The verdict as one sentence for someone who reads nothing else."""
    measured = [line for line in candidates(lines) if line.score is not None]
    marked = next((line for line in measured if line.marked), None)
    verdict, more = verdict_word(choice, lines), _more_rows(choice)
    if not measured:
        answered = any(line.record.get("unscored") for line in candidates(lines))
        return "No answer of any path could be scored." if answered else "No path could be measured."
    if verdict == "no choice":
        return f"No path keeps the limits. The best one measured, {measured[0].label}, {measured[0].result}."
    if verdict == "undecided" or marked is None:
        leader = marked or measured[0]
        settled = f"about {more:,} more test questions would decide" if more else "it is too close to call"
        return f"Undecided: for now {leader.label} {leader.result}; {settled}."
    if verdict == "tie":
        none = f"none{_within(lines)} is better by more than {_margin(choice)}"
        return f"Use {marked.label}: it {marked.result}, and {none}."
    return f"Use {marked.label}: it {marked.result}{_beside(marked, measured)}."


def _beside(marked: Line, measured: Sequence[Line]) -> str:
    """How the best other path did, with a ruled-out one only where it did better."""
    clauses, others = "", [line for line in measured if line is not marked]
    allowed = next((line for line in others if not line.ruled_out), None)
    if allowed and allowed.score is not None and marked.score is not None:
        place = "the next best path, " if allowed.score <= marked.score else ""
        clauses += f"; {place}{allowed.label}{',' if place else ''} {allowed.score:.0f}"
    barred = next((line for line in others if line.ruled_out), None)
    if barred and (barred.score or 0) > (marked.score or 0):
        clauses += f"; {barred.label} {barred.score:.0f}, but it breaks a limit"
    return clauses


def how_sure(choice: dict[str, Any], lines: Sequence[Line]) -> str:
    """What the questions say about the leader and the next best path, in one sentence."""
    lines = candidates(lines)
    leader = next((line for line in lines if line.marked), lines[0] if lines else None)
    if leader is None or leader.score is None:
        return ""
    num_rows = leader.record.get("n")
    rows = f"On {num_rows:,} questions kept back from fitting" if num_rows else "On the test questions"
    others = [line for line in lines if line is not leader and line.score is not None and not line.ruled_out]
    margin = (choice.get("how") or {}).get("margin")
    for pair in choice.get("comparisons") or []:
        names = {visible(str(pair["a"])), visible(str(pair["b"]))}
        if others and names == {leader.name, others[0].name}:
            return f"{rows}, {comparison(pair, margin, label)['words']}"
    words = f"{rows}, {leader.label} reached {leader.score:.0f} points of 100"
    if leader.low is not None and leader.high is not None:
        words += f" (95 % interval {leader.low:.0f} to {leader.high:.0f})"
    return f"{words}."
