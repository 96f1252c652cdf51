"""The paths of choice.json as the lines of a report, best first; references, which are never chosen, come last."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sartor.base.errors import DataError
from sartor.choosing.labels import label, title
from sartor.reporting.figures import (
    dollars,
    duration,
    interval,
    number,
    short_seconds,
    size,
    texts,
    visible,
)

YES_OR_NO_SCORERS = ("exact", "label", "contains", "numeric", "regex")
COLUMNS = ("Score", "Time", "Cost for 1,000", "Set-up", "New facts after", "Left this machine")


@dataclass(frozen=True)
class Line:
    """One path as people read it; `score`, `low` and `high` are points of 100, `seconds` is the p95 time.

    `cells` holds a figure and its remark for each of COLUMNS; `label` is the name inside a sentence, `title`
    at the start of one. `right` tells that every answer was simply right or wrong. A `reference` is measured
    to explain the others and is never chosen. `record` is the path as choice.json has it.
    """

    name: str
    label: str
    title: str
    description: str
    status: str
    marked: bool
    reference: bool
    score: float | None
    low: float | None
    high: float | None
    seconds: float | None
    dollars: float | None
    cells: tuple[tuple[str, str], ...]
    ruled_out: tuple[str, ...]
    failed: str
    right: bool
    record: dict[str, Any]

    @property
    def result(self) -> str:
        """`answers 71 of 100 questions right`, or the like for scores between right and wrong."""
        points = f"{self.score:.0f} of 100" if self.score is not None else "nothing"
        return f"answers {points} questions right" if self.right else f"scores {points} points"


def lines_of(choice: dict[str, Any], answers: dict[str, list[dict[str, Any]]]) -> list[Line]:
    paths, chosen = choice.get("paths") or [], choice.get("choice")
    if not paths:
        raise DataError(
            "there is nothing to report: no path", where="choice.json, paths", hint="run `sartor choose` again"
        )
    names = [path["name"] for path in paths]
    for name in filter(None, (chosen, *answers)):
        if name not in names:
            raise DataError(
                f"{name!r} is not among the paths",
                where="choice.json, paths",
                hint=f"it lists {', '.join(names)}; `sartor choose --rescore` writes it anew",
            )
    word = {"tie": "tied", "undecided": "for now"}.get(choice.get("verdict") or "", "chosen")
    scorer = (choice.get("how") or {}).get("scorer")
    lines = []
    for path in paths:
        scores = [score for row in answers.get(path["name"]) or [] if (score := row.get("score")) is not None]
        right = all(score in (0, 1) for score in scores) if scores else scorer in YES_OR_NO_SCORERS
        lines.append(_line(path, word if path["name"] == chosen else "", right))
    return sorted(lines, key=lambda line: (line.reference, line.score is None, -(line.score or 0), not line.marked))


def candidates(lines: Sequence[Line]) -> list[Line]:
    """The lines that could be chosen, were they good enough."""
    return [line for line in lines if not line.reference]


def line_named(lines: Sequence[Line], name: Any) -> Line | None:
    return next((line for line in lines if line.record["name"] == name), None)


def _line(path: dict[str, Any], verdict_word: str, right: bool) -> Line:
    name, score = str(path["name"]), number(path.get("score"))
    low, high = interval(path)
    reference, failed = bool(path.get("reference")), str(path.get("failed") or "")
    # That a reference is never chosen is why it is there, and no fault of it.
    ruled_out = () if reference else tuple(texts(path.get("excluded")))
    standing = "failed" if failed else "reference" if reference else "ruled out" if ruled_out else ""
    return Line(
        name=visible(name),
        label=label(name),
        title=title(name),
        description=str(path.get("description") or ""),
        status=verdict_word or standing,
        marked=bool(verdict_word),
        reference=reference,
        score=None if score is None else 100 * score,
        low=None if low is None else 100 * low,
        high=None if high is None else 100 * high,
        seconds=number(path.get("latency_p95_s")),
        dollars=number(path.get("cost_per_1k")),
        cells=_cells(path),
        ruled_out=ruled_out,
        failed=failed,
        right=right,
        record=path,
    )


def _cells(path: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    score, (low, high) = number(path.get("score")), interval(path)
    usual, slow = number(path.get("latency_p50_s")), number(path.get("latency_p95_s"))
    once = number(path.get("setup_cost"))
    sent, hosts = number(path.get("bytes_sent")), ", ".join(texts(path.get("hosts")))
    return (
        (
            "—" if score is None else f"{100 * score:.1f}",
            "" if low is None or high is None else f"{100 * low:.0f} to {100 * high:.0f}",
        ),
        (short_seconds(usual), "" if slow is None else f"p95 {short_seconds(slow)}"),
        (dollars(number(path.get("cost_per_1k"))), ""),
        (duration(number(path.get("setup_seconds"))), "" if once is None else dollars(once)),
        (duration(number(path.get("freshness_seconds"))), ""),
        ("—" if sent is None else size(sent) if sent else "nothing", f"to {hosts}" if hosts else ""),
    )
