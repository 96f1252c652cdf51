"""What a report says in sentences: the verdict, how sure it is, and what to be careful about."""

from collections.abc import Sequence
from typing import Any

from sartor.choosing.labels import LABELS, PAIRS
from sartor.choosing.report_comparisons import comparison
from sartor.choosing.report_lines import Line, path_of
from sartor.data.leaks import LeakReport
from sartor.reporting.figures import in_points, number, texts, visible

FEW_QUESTIONS = 50
NO_LEAKS = (LeakReport((), ()).text(), LeakReport((), ()).text(among=PAIRS))
GLOSSARY = (
    ("Points of 100",
     "The average score of a path on the test questions, times 100. Where an answer is right or wrong, it is "
     "the number of right answers in 100."),
    ("95 % interval",
     "Where the score on endless questions of the same kind is likely to lie: ranges made this way hold it "
     "95 times in 100. More questions make it narrower."),
    ("Paired test",
     "All paths answer the same questions, so two paths are compared question by question. This sees smaller "
     "differences than comparing two averages: the intervals of two paths may overlap and the difference "
     "between them still be sure."),
    ("Chance",
     "How often a difference at least this large would come up if the two paths were equally good: the "
     "p-value, after Holm."),
    ("Holm",
     "Who compares many pairs finds a difference by luck sooner or later. Holm's correction raises the "
     "p-values so that the chance of even one false finding stays at most 5 %."),
    ("Margin", "The loss of score that one would accept for a cheaper path, set before measuring."),
    ("Good enough", "Not worse than any other path by more than the margin, as far as the questions show."),
    ("Decided", "The path named is better than all others within the limits, by more than chance explains."),
    ("Tie",
     "The path named is not shown to be the best, but none is better by more than the margin. Among such "
     "paths the cheapest is taken, then a local one, then the one that learns new facts soonest."),
    ("Undecided", "The questions do not settle it; the path named needs the fewest more to be confirmed."),
    ("p50, p95", "Half of the answers came within the p50 time, 95 of 100 within the p95 time."),
)


def verdict_word(choice: dict[str, Any], lines: Sequence[Line]) -> str:
    possible = any(line.marked or (line.score is not None and not line.ruled_out) for line in lines)
    return str(choice.get("verdict") or "undecided") if possible else "no choice"


def meaning(choice: dict[str, Any], lines: Sequence[Line]) -> str:
    """What the verdict's word promises, in one sentence."""
    verdict, num_measured = verdict_word(choice, lines), sum(line.score is not None for line in lines)
    more = _more_rows(choice)
    if verdict == "no choice":
        return "Every path measured breaks a limit." if num_measured else "Nothing is left to choose."
    if num_measured == 1:
        return "Only one path was measured, so there was nothing to compare it with."
    if verdict == "decided":
        return "The lead over every other path within the limits is larger than chance explains."
    if verdict == "tie":
        return f"No other path within the limits is better by more than {_margin(choice)}."
    would = f"about {more:,} more would, were the scores as observed" if more else "see the exact terms below"
    return f"The test questions do not settle which path is best; {would}."


def _more_rows(choice: dict[str, Any]) -> int | None:
    """How many more test rows would decide, to two figures that count; None where no number is known."""
    needed, numbers = choice.get("needed_rows"), [path.get("n") or 0 for path in choice["paths"]]
    more = (needed or 0) - max(numbers)
    return round(more, 2 - len(str(more))) if more > 0 else None


def _margin(choice: dict[str, Any]) -> str:
    margin = number((choice.get("how") or {}).get("margin"))
    return "the margin" if margin is None else f"the margin of {in_points(margin)} points"


def why(choice: dict[str, Any], lines: Sequence[Line]) -> str:
    """The rule that led to the verdict, and what each way of using the model gains over prompting alone."""
    num_others = sum(line.score is not None and not line.ruled_out and not line.marked for line in lines)
    verdict = verdict_word(choice, lines)
    if verdict == "no choice":
        return ""
    if verdict == "undecided":
        rule = "It is the path that the fewest more questions would confirm."
    elif num_others == 0:
        rule = "It is the only path within the limits."
    elif verdict == "tie":
        rule = (f"Of the paths that none beats by more than {_margin(choice)}, the cheapest is taken, then a "
                "local one, then the one that learns new facts soonest.")
    elif num_others == 1:
        rule = "It is better than the other path."
    else:
        rule = f"It is better than each of the {num_others} other paths."
    gains = _gains({line.name: line.score for line in lines if line.score is not None})
    return f"{rule} Over prompting, {', '.join(gains)} points." if gains else rule


def _gains(scores: dict[str, float]) -> list[str]:
    gains = {name: score - scores["prompt"] for name, score in scores.items() if "prompt" in scores}
    return [f"{LABELS[name]} {'gains' if gain >= 0 else 'loses'} {abs(gain):.0f}"
            for name, gain in gains.items() if name in LABELS and name != "prompt"]


def headline(choice: dict[str, Any], lines: Sequence[Line]) -> str:
    """The verdict as one sentence for someone who reads nothing else."""
    measured = [line for line in lines if line.score is not None]
    marked = next((line for line in measured if line.marked), None)
    verdict, more = verdict_word(choice, lines), _more_rows(choice)
    if not measured:
        return "No path could be measured."
    if verdict == "no choice":
        return f"No path keeps the limits. The best one measured, {measured[0].label}, {measured[0].result}."
    if verdict == "undecided" or marked is None:
        leader = marked or measured[0]
        settled = f"about {more:,} more test questions would decide" if more else "it is too close to call"
        return f"Undecided: for now {leader.label} {leader.result}; {settled}."
    if verdict == "tie":
        return f"Use {marked.label}: it {marked.result}, and none is better by more than {_margin(choice)}."
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
    leader = next((line for line in lines if line.marked), lines[0])
    if leader.score is None:
        return ""
    num_rows = path_of(choice, leader).get("n")
    rows = f"On {num_rows:,} questions kept back from fitting" if num_rows else "On the test questions"
    words = f"{rows}, {leader.label} reached {leader.score:.0f} points of 100"
    if leader.low is not None and leader.high is not None:
        words += f" (95 % interval {leader.low:.0f} to {leader.high:.0f})"
    others = [line for line in lines if line is not leader and line.score is not None and not line.ruled_out]
    margin = (choice.get("how") or {}).get("margin")
    for pair in choice.get("comparisons") or []:
        names = {visible(str(pair["a"])), visible(str(pair["b"]))}
        if others and names == {leader.name, others[0].name}:
            return f"{words}. {comparison(pair, margin)['words']}"
    return f"{words}."


def cautions(choice: dict[str, Any], lines: Sequence[Line], how: dict[str, Any]) -> list[str]:
    """What a careful reader should know before believing the numbers."""
    found = []
    touched = how.get("test_touched")
    for leaks in (how.get("leaks"), how.get("pair_leaks")):
        if leaks is None or leaks in NO_LEAKS:
            continue
        counts = " ".join(line for line in leaks.splitlines() if not line.startswith(" "))
        found.append(f"{counts} Exact copies were kept out of fitting; near ones may make scores too high.")
    if isinstance(touched, int) and touched > 1:
        found.append(f"The test questions were used {touched} times; a choice repeated on them is less sure "
                     "than its intervals say.")
    if (how.get("rows_test") or FEW_QUESTIONS) < FEW_QUESTIONS:
        found.append(f"There are only {how['rows_test']} test questions, so intervals are wide.")
    for line in lines:
        path = path_of(choice, line)
        if line.failed:
            found.append(f"{line.title} failed and was not measured: {line.failed}")
        found += [f"{line.title} is ruled out: {reason}" for reason in line.ruled_out]
        if path.get("unscored"):
            found.append(f"{line.title}: {path['unscored']:,} answers could not be scored{_bounded(path)}.")
        if share := number(path.get("truncated_replies")):
            found.append(f"{line.title}: {100 * share:.1f} % of replies were cut off by the length limit.")
        if line.marked and path.get("bytes_sent"):
            hosts = ", ".join(texts(path.get("hosts"))) or "another host"
            found.append(f"{line.title} sends every question to {hosts}.")
    return found


def _bounded(path: dict[str, Any]) -> str:
    """What the score may be, whatever the unscored answers are worth."""
    low, high = (number(bound) for bound in path.get("bounds") or (None, None))
    if low is None or high is None:
        return ""
    return f"; whatever they are worth, the score is from {100 * low:.1f} to {100 * high:.1f} points"
