"""The first page of the report for a terminal, names and figures as people type them."""

from collections.abc import Iterator
from typing import Any

from sartor.choosing.report.care import cautions, checked
from sartor.choosing.report.lines import Line, lines_of
from sartor.choosing.report.words import headline
from sartor.reporting.figures import number, texts, visible


def outcome_lines(choice: dict[str, Any]) -> Iterator[str]:
    """Verdict, reason, every path's score, what to be careful about, and what would change the verdict."""
    lines = lines_of(choice, {})
    yield headline(choice, lines)
    yield f"verdict: {choice['verdict']}" + (f", {choice['choice']}" if choice["choice"] else "")
    yield visible(choice["why"])
    for at, line in enumerate(lines):
        if line.reference and (at == 0 or not lines[at - 1].reference):
            yield "  for reference, never chosen:"
        yield f"  {line.name:<13} {_measures(line)}"
        yield from (f"    ruled out: {visible(reason)}" for reason in line.ruled_out)
    careful = [caution for caution in cautions(choice, lines) if not caution.limit]  # those are said above
    if careful:
        yield "read this with care:"
    for caution in careful:
        yield f"! {visible(caution.what)}"
        if caution.hint:
            yield f"  what to do: {visible(caution.hint)}"
    if nothing_found := checked(choice):
        yield nothing_found
    yield from (f"- {visible(sentence)}" for sentence in texts(choice.get("would_change")))


def _measures(line: Line) -> str:
    if line.failed:
        return f"failed: {visible(line.failed)}"
    if line.score is None:
        return "no row could be scored"
    score = f"{line.score / 100:.3f}"
    if line.low is not None and line.high is not None:
        score += f"  [{line.low / 100:.3f}, {line.high / 100:.3f}]"
    usual, fitted = number(line.record.get("latency_p50_s")), number(line.record.get("setup_seconds"))
    return "  ".join([score, *([] if usual is None else [f"p50 {usual:.2f} s"]),
                      *([] if fitted is None else [f"set-up {fitted:.0f} s"])])  # fmt: skip
