"""From how many questions on a path that costs more to set up is the cheaper one."""

from typing import Any

from sartor.choosing.labels import label, title
from sartor.choosing.report.blocks import Section, row, table
from sartor.choosing.report.lines import Line
from sartor.reporting.figures import dollars, number


def break_even_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    """In words only the pairs with the path that the verdict names, where there are such; the others are folded."""
    pairs = choice.get("break_even") or []
    if not pairs:
        return None
    told = [str(pair.get("sentence") or _sentence(pair)) for pair in pairs]
    about = [words for pair, words in zip(pairs, told, strict=True) if choice.get("choice") in (pair["a"], pair["b"])]
    setting_up = [
        row(line.title, dollars(number(line.record.get("setup_cost"))), dollars(line.dollars), marked=line.marked)
        for line in lines
        if number(line.record.get("setup_cost")) is not None and not line.reference
    ]
    tables = table("Set-up against running cost", ("Path", "Set-up", "1,000 answers"), setting_up)
    others = (
        [row(f"{title(str(pair['b']))} against {label(str(pair['a']))}", _questions(pair)) for pair in pairs]
        if len(about or told) < len(pairs)
        else []
    )
    tables += table("Every pair", ("Pair", "Pays from so many questions on"), others, folded="All pairs")
    return Section("break-even", "From how many questions on it pays", tuple(about or told), tables=tables)


def _questions(pair: dict[str, Any]) -> str:
    questions = number(pair.get("questions"))
    return "never" if questions is None else f"{questions:,.0f}"


def _sentence(pair: dict[str, Any]) -> str:
    first, second, questions = title(str(pair["a"])), label(str(pair["b"])), number(pair.get("questions"))
    if questions is None:
        return f"{first} and {second}: one is the cheaper at every number of questions."
    return f"{first} and {second} cost the same after {questions:,.0f} questions."
