"""Times as people write them, and one path's share of the budget."""

import pytest

from sartor.base.errors import UsageError
from sartor.choosing import budget
from sartor.choosing.budget import Share, parse_seconds


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


def test_another_try_is_allowed_while_an_average_one_still_fits(clock: list[float]) -> None:
    share = Share(10.0)
    assert share.allows_another(0)
    clock[0] += 5.0
    assert share.allows_another(1)  # 5 s done, 5 s more
    clock[0] += 0.5
    assert not share.allows_another(1)
    assert share.allows_another(2)  # two tries of 2.75 s
    assert (share.spent, share.left) == (5.5, 4.5)


def test_what_was_spent_before_counts_but_is_no_try(clock: list[float]) -> None:
    share = Share(10.0, before=6.0)
    clock[0] += 2.0
    assert (share.spent, share.left) == (8.0, 2.0)
    assert share.allows_another(1)
    clock[0] += 0.1
    assert not share.allows_another(1)
    assert Share(1.0, before=5.0).allows_another(0)  # one setting is always tried
