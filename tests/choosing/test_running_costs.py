"""What left the machine, and what a thousand answers emit."""

from typing import Any

from sartor.base.grid_intensity import GridIntensity
from sartor.choosing.running_costs import carbon_grams, personal_data_sent

ADDRESS, CARD, PHONE = "jane.doe@harbour-office.de", "4539 1488 0343 6467", "+49 30 901820"


def answer(*texts: str, hosts: tuple[str, ...] = ("api.example.org",)) -> dict[str, Any]:
    return {"hosts": list(hosts), "messages": [{"role": "user", "content": text} for text in texts]}


def test_planted_personal_data_is_counted_by_kind_and_value() -> None:
    answers = [
        answer("Answer shortly.", f"Write to {ADDRESS} about the ship"),
        answer("Answer shortly.", f"Did {ADDRESS} pay with {CARD}?"),
        answer("Answer shortly.", f"Call me at {PHONE}, or write to captain@harbour-office.de"),
    ]
    assert personal_data_sent(answers) == {"credit_card": 1, "email_address": 2, "phone_number": 1}


def test_what_stays_here_was_not_sent() -> None:
    assert personal_data_sent([answer(f"Write to {ADDRESS}", hosts=())]) == {}
    assert personal_data_sent([answer("Where does the red ship lie?")]) == {}


def test_carbon_is_unknown_where_energy_is() -> None:
    grid = GridIntensity("here", 400.0, 2023, "test")
    assert carbon_grams({"energy_wh": 5.0}, grid) == 2.0
    assert carbon_grams({"energy_wh": None}, grid) is None
