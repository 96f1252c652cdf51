"""The choice at other margins and prices: the same race settled again, nothing measured again.

A local path's cost is the machine's price times the time that its answers took; a remote one's follows the price of its
tokens. The limits are applied again at every price, for one of them may be on cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sartor.choosing.verdict.race import Measured, Race
from sartor.choosing.verdict.rule import within_limits

MARGINS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.10)
MACHINE_PRICES = (0.02, 0.10, 0.50, 2.00, 10.00)  # dollars an hour: from a small rented machine to one with a large GPU
API_FACTORS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)


def sensitivity(
    race: Race,
    paths: Sequence[Measured],
    limits: Mapping[str, Any],
    machine_price: float,
    seconds_per_answer: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Choice and verdict at each margin and price, the present ones among them: entries of `sensitivity` in
    choice.json. `machine_price` is in dollars an hour; `paths` are as measured, before the limits.

    The value of `api_price` is a factor on the present prices; it is left out where no remote path has a known price.
    """

    def at_costs(costs: Mapping[str, float]) -> Race:
        dearer = [replace(path, cost_per_1k=costs.get(path.name, path.cost_per_1k)) for path in paths]
        allowed = {path.name: path for path in within_limits(dearer, race.scores, limits) if path.name in race.paths}
        return replace(race, paths=allowed)

    found = [_entry("margin", margin, replace(race, margin=margin)) for margin in sorted({*MARGINS, race.margin})]
    local = {name: seconds_per_answer[name] for name, path in race.paths.items() if path.local}
    if local:
        for price in sorted({*MACHINE_PRICES, machine_price}):
            costs = {name: cost_per_1k(price, seconds) for name, seconds in local.items()}
            found.append(_entry("machine_price", price, at_costs(costs)))
    charged = {
        name: path.cost_per_1k for name, path in race.paths.items() if not path.local and path.cost_per_1k is not None
    }
    if charged:
        for factor in API_FACTORS:
            found.append(_entry("api_price", factor, at_costs({name: factor * cost for name, cost in charged.items()})))
    return found


def cost_per_1k(machine_price: float, seconds_per_answer: float) -> float:
    """US dollars for 1,000 answers on a machine of so many dollars an hour."""
    return machine_price * seconds_per_answer / 3600 * 1000


def _entry(what: str, value: float, race: Race) -> dict[str, Any]:
    choice, word = race.settle(race.order) if race.order else (None, "undecided")
    return {"what": what, "value": value, "choice": choice, "verdict": word}
