"""How every number of a report was obtained."""

from typing import Any

from sartor.base.console import format_seconds
from sartor.base.energy import WATTS_PER_BUSY_CORE
from sartor.choosing.report.blocks import Section, row, table
from sartor.choosing.report.care import test_touched
from sartor.choosing.verdict.points import points
from sartor.reporting.figures import dollars, number, plain

MEASURES = (
    (
        "Time",
        "From asking to the end of the reply, for {timed} dev questions asked one at a time, on this machine; from so "
        "few, p95 is a rough estimate.",
    ),
    (
        "Cost for 1,000",
        "Of 1,000 answers. Local paths: the machine's price per hour times the time measured on the test "
        "questions. Remote paths: the prices of the tokens.",
    ),
    ("Set-up", "Time to choose settings on dev questions, to index the documents and to train."),
    (
        "Energy",
        "Watt hours for 1,000 answers. Measured: read from the machine's counters. Estimated: processor "
        f"seconds times an assumed {WATTS_PER_BUSY_CORE:g} W a busy core, plus what GPUs report.",
    ),
    (
        "New facts after",
        "From a changed document to answers that know it: to index one document, or to train again. A dash "
        "where they never do.",
    ),
    ("Left this machine", "Bytes sent to other hosts with the test questions, and the names of the hosts."),
)


def method_section(choice: dict[str, Any]) -> Section:
    rows = [
        row(what, value or "see the paths", words) for what, value, words in _method(choice, choice.get("how") or {})
    ]
    return Section(
        "method", "How it was measured", tables=table("How every number was obtained", ("What", "Value", "How"), rows)
    )


def _method(choice: dict[str, Any], how: dict[str, Any]) -> list[tuple[str, str, str]]:
    """`(what, value, how it was obtained)` for the report's numbers; what is not recorded is left out."""

    def known(key: str, words: str = "{}") -> str:
        return "" if how.get(key) is None else words.format(plain(how[key]))

    def joined(*parts: str, between: str = " ") -> str:
        return between.join(filter(None, parts))

    tests = sorted({str(pair["test"]) for pair in choice.get("comparisons") or [] if pair.get("test")})
    margin, took, price = (number(how.get(key)) for key in ("margin", "seconds_total", "machine_price"))
    settings = [
        (
            "Questions",
            joined(
                known("rows_train", "{} to fit"),
                known("rows_dev", "{} to choose settings"),
                known("rows_test", "{} to test"),
                between=", ",
            ),
            "The test questions were kept back until every setting was fixed.",
        ),
        (
            "Test questions used",
            "" if (touched := test_touched(choice)) is None else f"{touched} time{'s' * (touched != 1)}",
            "A choice that was repeated on the same test questions is less sure than its intervals say.",
        ),
        (
            "Leaks",
            known("leaks"),
            "Test questions that also stand in the training rows, with the same or nearly the same text.",
        ),
        (
            "Documents",
            "none" if how.get("documents") == 0 else joined(known("documents"), known("chunks", "in {} chunks")),
            "What the paths with retrieval could look up.",
        ),
        ("Preferences", known("pairs", "{} pairs"), "A better and a worse answer each."),
        (
            "Leaks into preferences",
            known("pair_leaks"),
            "Test questions that preference pairs ask too, with the same or nearly the same text.",
        ),
        ("Score", known("scorer"), str(how.get("scorer_description") or "Average over the test questions.")),
        (
            "Difference",
            ", ".join(tests),
            "Paired: every path answered the same questions. Intervals hold 95 %; p-values are corrected for "
            "the number of pairs (Holm).",
        ),
        (
            "Margin",
            "" if margin is None else points(margin),
            "Smaller differences do not matter; set before measuring.",
        ),
        (
            "Budget",
            joined(known("budget"), known("share", "{} for each path"), between=": "),
            "Time to fit all paths, shared equally.",
        ),
        (
            "Base model",
            joined(known("base_model"), known("model_hash", "({})")),
            "All local paths start from these weights.",
        ),
        ("Seed", known("seed"), "The same versions and machine give the same local answers; times vary."),
        ("Machine", known("machine"), "Times, energy and machine cost hold for it."),
        (
            "Machine price",
            "" if price is None else f"{dollars(price)} an hour",
            "Set beforehand; the cost of local paths follows from it.",
        ),
        (
            "Price of the remote model",
            known("api_price"),
            "As the price table has it; US dollars for a million tokens.",
        ),
        ("Carbon of the grid", known("grid"), "What a kilowatt hour stands for; an estimate, whatever the energy."),
        ("Versions", known("versions"), ""),
        ("Run", joined(known("started"), f"took {format_seconds(took)}" if took else "", between=", "), ""),
    ]
    measures = [(what, "", words.format(timed=_timed(choice))) for what, words in MEASURES]
    return [setting for setting in settings if setting[1]] + measures


def _timed(choice: dict[str, Any]) -> str:
    """How many questions were timed for a path: `10 to 40` where that differs."""
    counts = {int(count) for path in choice["paths"] if (count := number(path.get("num_timed"))) is not None}
    return " to ".join(str(count) for count in sorted({min(counts), max(counts)})) if counts else "a few"
