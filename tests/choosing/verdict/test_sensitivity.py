"""The table says what a decision at that margin or price says."""

from dataclasses import replace

import numpy as np
import pytest

from sartor.choosing.verdict.race import Measured
from sartor.choosing.verdict.rule import decide
from sartor.choosing.verdict.sensitivity import cost_per_1k, sensitivity

PRICE, SECONDS = 0.3, {"prompt": 0.2, "finetune": 0.9, "api": 0.5}


def measured(seed: int) -> list[Measured]:
    generator = np.random.default_rng(seed)
    hard = generator.random(400)
    chance = {"prompt": 0.5, "finetune": 0.55, "api": 0.8}
    return [
        Measured(
            name,
            (hard < chance[name] + generator.normal(0, 0.05, 400)).astype(float),
            1.5 if name == "api" else cost_per_1k(PRICE, SECONDS[name]),
            1.0,
            name != "api",
        )
        for name in chance
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limits", [{}, {"cost_per_1k": 1.0}, {"cost_per_1k": 0.05, "margin": 0.1}])
def test_every_line_is_what_deciding_says(seed: int, limits: dict[str, float]) -> None:
    paths = measured(seed)
    verdict = decide(paths, limits=limits)
    assert verdict.race is not None
    table = sensitivity(verdict.race, paths, limits, PRICE, SECONDS)
    assert {entry["what"] for entry in table} == {"margin", "machine_price", "api_price"}
    for entry in table:
        what, value, now, then = entry["what"], entry["value"], limits, paths
        if what == "margin":
            now = limits | {"margin": value}
        elif what == "machine_price":
            then = [replace(p, cost_per_1k=value * SECONDS[p.name] / 3.6) if p.local else p for p in paths]
        else:
            then = [p if p.local else replace(p, cost_per_1k=value * 1.5) for p in paths]
        said = decide(then, limits=now)
        assert (entry["choice"], entry["verdict"]) == (said.choice, said.verdict)
        if (what, value) in (("margin", verdict.race.margin), ("machine_price", PRICE), ("api_price", 1.0)):
            assert (entry["choice"], entry["verdict"]) == (verdict.choice, verdict.verdict)
    assert len({(entry["what"], entry["value"]) for entry in table}) == len(table)


def test_prices_that_do_not_matter_are_left_out() -> None:
    local = [path for path in measured(0) if path.local]
    verdict = decide(local)
    assert verdict.race is not None
    assert {entry["what"] for entry in sensitivity(verdict.race, local, {}, PRICE, SECONDS)} == {
        "margin",
        "machine_price",
    }
    remote = [replace(path, cost_per_1k=None) for path in measured(0) if not path.local]
    verdict = decide(remote)
    assert verdict.race is not None
    assert {entry["what"] for entry in sensitivity(verdict.race, remote, {}, PRICE, SECONDS)} == {"margin"}


def test_a_price_that_changes_the_choice_is_in_the_table() -> None:
    paths = [replace(path, scores=np.ones(400)) for path in measured(0)]
    verdict = decide(paths)
    assert verdict.race is not None and verdict.choice == "prompt"
    dear_machine = [
        entry["choice"]
        for entry in sensitivity(verdict.race, paths, {}, PRICE, SECONDS)
        if entry["what"] == "machine_price"
    ]
    assert dear_machine == ["prompt"] * len(dear_machine)
    cheap = [path if path.local else replace(path, cost_per_1k=0.1) for path in paths]
    verdict = decide(cheap)
    assert verdict.race is not None and verdict.choice == "prompt"
    table = sensitivity(verdict.race, cheap, {}, PRICE, SECONDS)
    at = {entry["value"]: entry["choice"] for entry in table if entry["what"] == "machine_price"}
    assert (at[0.1], at[10.0]) == ("prompt", "api")
