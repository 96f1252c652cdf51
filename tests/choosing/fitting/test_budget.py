"""Times as people write them, and one path's share of the budget."""

import pytest

from sartor.base.errors import UsageError
from sartor.choosing.fitting import budget
from sartor.choosing.fitting.budget import Budget, Share, parse_budget, parse_seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("20m", 1200), ("1.5h", 5400), (" 2m ", 120), ("0.5s", 0.5)]
)
def test_times(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "m", "-3m", "0s", "0.0h", "1e3s", "5 m", "20min", "1,5h", "nans", "٣m m"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_seconds(text)
    assert refused.value.where == "--budget" and "20m" in (refused.value.hint or "")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    return now


def test_time_runs_from_the_start_and_what_was_spent_before_counts(clock: list[float]) -> None:
    share, later = Share(10.0), Share(10.0, before=6.0)
    clock[0] += 2.5
    assert (share.spent, share.left) == (2.5, 7.5)
    assert (later.spent, later.left) == (8.5, 1.5)
    half = later.part(0.5)
    clock[0] += 1.0
    assert (half.seconds, half.spent, half.left) == (5.0, 9.5, -4.5)


@pytest.mark.parametrize("text", ["5usd", "5 USD", "$5", "5.0usd"])
def test_money_is_as_much_time_as_it_buys(text: str) -> None:
    budget = parse_budget(text, machine_price=0.5)
    assert (budget.seconds, budget.dollars) == (36_000, 5)
    share = budget.share_of(4)
    assert (share.seconds, share.dollars) == (9_000, 1.25) and "$1.25" in str(share)


def test_time_is_time_whatever_the_machine_costs() -> None:
    assert parse_budget("20m", 0.0) == Budget("20m", 1200.0)
    assert str(parse_budget("20m", 0.0).share_of(2)) == "10 min 00 s"


@pytest.mark.parametrize(("text", "price"), [("0usd", 1.0), ("5usd", 0.0), ("5eur", 1.0), ("-5usd", 1.0), ("usd", 1)])
def test_what_buys_nothing_is_refused(text: str, price: float) -> None:
    with pytest.raises(UsageError, match="buy|time"):
        parse_budget(text, price)


def test_what_a_service_charges_is_taken_out_of_the_share(clock: list[float]) -> None:
    charged = [0.0]
    share = Share(100.0, charged=lambda: charged[0])
    clock[0] += 10.0
    assert (share.left, share.spent) == (90.0, 10.0)
    charged[0] = 85.0
    assert (share.left, share.spent) == (5.0, 10.0)
    assert share.part(0.5).left == -45.0
