"""Where wrong answers come from: the passage was not found, was not used, or the model does not know."""

from typing import Any

from sartor.choosing.report.blocks import Picture, Section, row, table
from sartor.choosing.report.causes_chart import Shares, causes_chart
from sartor.choosing.report.lines import Line
from sartor.reporting.figures import number

CAUSES = (("right", "Right"), ("not_retrieved", "Not found"), ("not_used", "Not used"), ("not_known", "Not known"))


def causes_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    found = choice.get("diagnosis") or {}
    told = [(line, found[line.record["name"]]) for line in lines if line.record["name"] in found]
    if not told:
        return None
    known = [(key, words) for key, words in CAUSES if any(number(counts.get(key)) is not None for _, counts in told)]
    shares: list[Shares] = [(line.title, [_share(counts, key) for key, _ in known]) for line, counts in told]
    headings = [words for _, words in known]
    rows = [row(line.title, f"{counts.get('n') or 0:,}", *(_count(counts, key) for key, _ in known), marked=line.marked)
            for line, counts in told]  # fmt: skip
    caption = (
        f"Of 100 questions.{_right_from(told)} Not found: the passage with the answer was not retrieved. Not used: it "
        "was there, and the answer is wrong. Not known: there was no passage to read, and the answer is wrong."
    )
    picture = Picture(lambda narrow: causes_chart(shares, headings, "causes", narrow), caption)
    return Section(
        "causes",
        "Where errors come from",
        tuple(str(counts["sentence"]) for _, counts in told if counts.get("sentence")),
        (picture,),
        table("Answers by what became of them", ("Path", "Questions", *headings), rows, folded="In numbers"),
    )


def _share(counts: dict[str, Any], key: str) -> float | None:
    count, whole = number(counts.get(key)), number(counts.get("n"))
    return None if count is None or not whole else 100 * count / whole


def _count(counts: dict[str, Any], key: str) -> str:
    count = number(counts.get(key))
    return "—" if count is None else f"{count:,.4g}"


def _right_from(told: list[tuple[Line, dict[str, Any]]]) -> str:
    """What counts as right where scores are between right and wrong."""
    limits = {limit for line, counts in told if not line.right and (limit := number(counts.get("right_from")))}
    return "".join(f" Right: a score of {100 * limit:.0f} points or more." for limit in sorted(limits))
