"""What follows from how a path was measured and from tables that people edit: costs, carbon, personal data sent."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sartor.base.grid_intensity import GridIntensity, grid_intensity
from sartor.choosing.choose import ChooseConfig
from sartor.data.filters.personal_data.scrub import find_personal_data


def with_running_costs(
    facts: dict[str, Any], config: ChooseConfig, answers: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The facts of a path as it was measured, with what 1,000 answers cost and emit at the prices and the grid that
    hold now, so that all paths of a run are compared at the same ones."""
    if facts["hosts"]:
        return facts | {"carbon_g": None, "personal_data": personal_data_sent(answers)}
    return facts | {
        "cost_per_1k": config.machine_price * facts["seconds_per_answer"] / 3600 * 1000,
        "carbon_g": carbon_grams(facts, grid_intensity(config.grid)),
    }


def carbon_grams(usage: Mapping[str, Any], grid: GridIntensity) -> float | None:
    """Carbon dioxide equivalent of 1,000 answers, an estimate even where their energy was measured; None where that is
    unknown, as a remote model's is."""
    watt_hours = usage.get("energy_wh")
    return None if watt_hours is None else grid.grams(watt_hours)


def personal_data_sent(answers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many different values of each kind of personal data were in the messages that left this machine (examples
    and passages included); empty where nothing left it, or none was found in it."""
    texts = {message["content"] for answer in answers if answer["hosts"] for message in answer["messages"]}
    found: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        for finding in find_personal_data(text):
            found[finding.kind].add(text[finding.start : finding.end])
    return dict(sorted(Counter({kind: len(values) for kind, values in found.items()}).items()))
