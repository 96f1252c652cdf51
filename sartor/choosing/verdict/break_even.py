"""From how many questions on a path that costs more to set up is the cheaper one, all in all.

Set-up is paid once: the machine's price times the time that fitting took, and what a service charged meanwhile.
Answers are paid each. Only costs are compared here; what a path is worth is the verdict's business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sartor.choosing.labels import label, title
from sartor.reporting.figures import dollars

FIGURES = 2  # that count: times vary from run to run by more than the third


@dataclass(frozen=True)
class Costs:
    """Of one path, in US dollars: once, and for 1,000 answers."""

    name: str
    setup: float
    per_1k: float


def setup_cost(facts: Mapping[str, Any], machine_price: float) -> float:
    """US dollars for fitting a path: the machine (dollars an hour), and what a service was paid meanwhile."""
    return machine_price * float(facts["setup_seconds"]) / 3600 + float(facts.get("setup_paid") or 0.0)


def break_even(costs: Sequence[Costs]) -> list[dict[str, Any]]:
    """Every pair as `break_even` in choice.json wants it: `b` costs more to set up than `a` (at equal set-up: no less
    to answer), and is cheaper from `questions` on; None: never."""
    found = []
    for pair in combinations(costs, 2):
        a, b = sorted(pair, key=lambda each: (each.setup, each.per_1k))
        number = _questions(a, b)
        found.append({"a": a.name, "b": b.name, "questions": number, "sentence": _sentence(a, b, number)})
    return found


def path_costs(facts: Mapping[str, Mapping[str, Any]], machine_price: float, allowed: Sequence[str]) -> list[Costs]:
    """The costs of the `allowed` paths whose price is known, from what is kept of their fitting and measuring."""
    return [
        Costs(name, setup_cost(facts[name], machine_price), float(facts[name]["cost_per_1k"]))
        for name in allowed
        if facts[name].get("cost_per_1k") is not None
    ]


def _questions(a: Costs, b: Costs) -> int | None:
    saved = (a.per_1k - b.per_1k) / 1000
    return None if saved <= 0 else round((b.setup - a.setup) / saved)


def _sentence(a: Costs, b: Costs, questions: int | None) -> str:
    if (a.setup, a.per_1k) == (b.setup, b.per_1k):
        return f"{title(a.name)} and {label(b.name)} cost the same at every number of questions."
    more = f"{dollars(b.setup - a.setup)} more" if b.setup > a.setup else "as much"
    if questions is None:
        answers = "more" if a.setup == b.setup else "no less"
        return (
            f"{title(b.name)} never pays against {label(a.name)}: it costs {more} to set up, and {answers} for 1,000 "
            "answers."
        )
    saves = f"{dollars(a.per_1k - b.per_1k)} less for 1,000 answers"
    return (
        f"{title(b.name)} pays against {label(a.name)} from about {_rounded(questions):,} questions on: it costs "
        f"{more} to set up and {saves}."
    )


def _rounded(number: int) -> int:
    return round(number, FIGURES - len(str(number)))
