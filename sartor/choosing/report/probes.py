"""Probes beside the score: changed documents, knowledge lost in training, typos and other words for a question."""

from typing import Any

from sartor.choosing.report.blocks import Cell, Row, Section, row, table
from sartor.choosing.report.lines import Line
from sartor.reporting.figures import duration, interval, number, signed

FRESHNESS = (
    "Path",
    "Right before a change",
    "Right after it",
    "Old fact after it",
    "Time until right",
    "Deleted, still said",
)
FORGETTING = (
    "Path",
    "Questions",
    "Right before, of 100",
    "Right after, of 100",
    "Difference",
    "Bits per byte before",
    "Bits per byte after",
)
ROBUSTNESS = ("Path", "With typos", "Change", "In other words", "Change", "Unanswerable, said so")


def freshness_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    """Whether a path follows its documents when a fact in them is changed or deleted."""
    probed = [(line, line.record["freshness"]) for line in lines if line.record.get("freshness")]
    if not probed:
        return None
    sentences = [str(found.get("sentence") or _followed(line, found)) for line, found in probed]
    return Section(
        "freshness",
        "When documents change",
        tuple(filter(None, sentences)),
        tables=table(
            "Facts changed and deleted in the documents", FRESHNESS, [_freshness(line, found) for line, found in probed]
        ),
    )


def _followed(line: Line, found: dict[str, Any]) -> str:
    edited = found.get("edited") or {}
    if not edited.get("n"):
        return ""
    seconds = _seconds_until_right(edited)
    soon = f" ({duration(seconds)} after the change)" if seconds is not None else ""
    right, old = edited.get("right_after") or 0, edited.get("old_after") or 0
    return (
        f"{line.title}: of {edited['n']:,} changed facts it told {right:,} as they are{soon} and {old:,} as they were."
    )


def _seconds_until_right(edited: dict[str, Any]) -> float | None:
    """None for a path that was never right, whatever its wrong answers took."""
    return number(edited.get("seconds")) if edited.get("right_after") else None


def _freshness(line: Line, found: dict[str, Any]) -> Row:
    edited, deleted = found.get("edited") or {}, found.get("deleted") or {}
    return row(
        line.title,
        _of(edited, "right_before"),
        _of(edited, "right_after"),
        _of(edited, "old_after"),
        duration(_seconds_until_right(edited)),
        _of(deleted, "still_said"),
        marked=line.marked,
    )


def forgetting_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    """What a trained model knows less of than the base model did."""
    probed = [(line, line.record["forgetting"]) for line in lines if line.record.get("forgetting")]
    if not probed:
        return None
    return Section(
        "forgetting",
        "What training forgot",
        tuple(_forgot(line, found) for line, found in probed),
        tables=table(
            "General questions and texts before and after training",
            FORGETTING,
            [
                row(
                    line.title,
                    _count(found, "n"),
                    _points(found.get("general_before")),
                    _points(found.get("general_after")),
                    _change(_difference(found), found),
                    _bits(found.get("bits_per_byte_before")),
                    _bits(found.get("bits_per_byte_after")),
                    marked=line.marked,
                )
                for line, found in probed
            ],
        ),
    )


def _difference(found: dict[str, Any]) -> float | None:
    before, after = number(found.get("general_before")), number(found.get("general_after"))
    return None if before is None or after is None else after - before


def _forgot(line: Line, found: dict[str, Any]) -> str:
    difference, (low, high) = _difference(found), interval(found)
    if difference is None or low is None or high is None:
        return f"{line.title}: what it forgot is not known."
    doubt = f"95 % interval {signed(100 * low)} to {signed(100 * high)}"
    changed = f"{signed(100 * difference)} points on general questions ({doubt})"
    if high < 0:
        return f"{line.title} forgot: {changed}."
    before, after = number(found.get("bits_per_byte_before")), number(found.get("bits_per_byte_after"))
    least, _ = interval({"ci": found.get("bits_ci")})
    if least is not None and least > 0:
        return (
            f"{line.title}: general questions are not shown to have suffered ({changed}), but ordinary text surprises "
            f"it more: {_bits(before)} to {_bits(after)} bits a byte, more than chance explains."
        )
    rises = before is not None and after is not None and after > before
    kept = low >= 0 and not rises
    return f"{line.title} {'did not forget' if kept else 'is not shown to have forgotten'}: {changed}."


def robustness_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    """Whether a path stands typos, other words, and questions that the documents do not answer."""
    probed = [(line, line.record["robustness"]) for line in lines if line.record.get("robustness")]
    if not probed:
        return None
    sentences = [words for line, found in probed for words in _suffers(line, found)]
    if not sentences:
        sentences = ["No path is shown to suffer from typos or other words."]
    return Section(
        "robustness",
        "Typos, other words, unanswerable questions",
        tuple(sentences),
        tables=table(
            "Scores with and without the disturbance", ROBUSTNESS, [_robustness(line, found) for line, found in probed]
        ),
    )


def _suffers(line: Line, found: dict[str, Any]) -> list[str]:
    words = []
    for kind, name in (("typos", "typos"), ("paraphrases", "paraphrased questions")):
        part = found.get(kind) or {}
        difference, (low, high) = number(part.get("difference")), interval(part)
        if difference is not None and low is not None and high is not None and high < 0:
            words.append(
                f"{line.title} loses {abs(100 * difference):.0f} points to {name} "
                f"({abs(100 * high):.0f} to {abs(100 * low):.0f})."
            )
    return words


def _robustness(line: Line, found: dict[str, Any]) -> Row:
    typos, others = found.get("typos") or {}, found.get("paraphrases") or {}
    unanswerable = found.get("unanswerable") or {}
    return row(
        line.title,
        _disturbed(typos),
        _change(number(typos.get("difference")), typos),
        _disturbed(others),
        _change(number(others.get("difference")), others),
        _of(unanswerable, "abstained"),
        marked=line.marked,
    )


def _disturbed(part: dict[str, Any]) -> Cell:
    return _points(part.get("score")), f"{_points(part.get('plain_score'))} as asked" if part else ""


def _count(found: dict[str, Any], key: str) -> str:
    return f"{found[key]:,}" if found.get(key) is not None else "—"


def _of(found: dict[str, Any], key: str) -> str:
    """`7 of 10`."""
    return f"{found[key]:,} of {found['n']:,}" if found.get(key) is not None and found.get("n") else "—"


def _points(share: Any) -> str:
    value = number(share)
    return "—" if value is None else f"{100 * value:.0f}"


def _bits(value: Any) -> str:
    bits = number(value)
    return "—" if bits is None else f"{bits:.3f}"


def _change(difference: float | None, found: dict[str, Any]) -> Cell:
    low, high = interval(found)
    return (
        "—" if difference is None else signed(100 * difference),
        "" if low is None or high is None else f"{signed(100 * low, 0)} to {signed(100 * high, 0)}",
    )
