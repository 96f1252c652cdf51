"""What follows from a verdict at other prices and margins, for many questions, and for a part of them: the fields of
choice.json beside the verdict itself. Nothing is measured or compared anew but the parts."""

from collections.abc import Mapping, Sequence
from typing import Any

from sartor.choosing.verdict.break_even import break_even, path_costs
from sartor.choosing.verdict.race import Measured
from sartor.choosing.verdict.rule import Verdict
from sartor.choosing.verdict.sensitivity import sensitivity
from sartor.choosing.verdict.slices import find_slices
from sartor.data.records import Row


def consequences(
    verdict: Verdict,
    paths: Sequence[Measured],
    facts: Mapping[str, Mapping[str, Any]],
    limits: Mapping[str, Any],
    machine_price: float,
    rows: Sequence[Row],
) -> dict[str, Any]:
    """`slices` (and `not_sliced`, the reason for a cut that was not made), `sensitivity` and `break_even`. `facts` are
    of each path, `machine_price` in dollars an hour, `rows` the test rows."""
    if verdict.race is None:
        return {"slices": [], "not_sliced": "No path could be scored.", "sensitivity": [], "break_even": []}
    slices = find_slices(verdict.race, verdict.choice, [row.group for row in rows], [row.question for row in rows])
    seconds = {name: float(each["seconds_per_answer"]) for name, each in facts.items()}
    return {
        "slices": slices.parts,
        "not_sliced": slices.not_cut,
        "sensitivity": sensitivity(verdict.race, paths, limits, machine_price, seconds),
        "break_even": break_even(path_costs(facts, machine_price, verdict.race.order)),
    }
