"""Learning rates against values worked out by hand."""

import math

import pytest

from sartor.train.schedule import ScheduleName, learning_rate_factor

NAMES: tuple[ScheduleName, ...] = ("cosine", "linear", "wsd", "constant")


@pytest.mark.parametrize("name", NAMES)
def test_warm_up_is_linear_and_ends_at_the_peak(name: ScheduleName) -> None:
    assert [learning_rate_factor(name, step, 20, 4) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_and_linear_by_hand() -> None:
    """10 steps after 2 of warm-up: half way down at step 7."""
    assert learning_rate_factor("cosine", 7, 12, 2) == pytest.approx(0.5)
    assert learning_rate_factor("cosine", 4, 12, 2) == pytest.approx((1 + math.cos(math.pi / 5)) / 2)
    assert [learning_rate_factor("linear", step, 12, 2) for step in (2, 7, 11)] == pytest.approx([1.0, 0.5, 0.1])
    assert learning_rate_factor("linear", 7, 12, 2, floor=0.2) == pytest.approx(0.6)
    assert learning_rate_factor("constant", 11, 12, 2) == 1.0


def test_wsd_stays_and_falls_in_the_last_fifth() -> None:
    """Of 20 steps the last 4 fall: 1 - sqrt(0, 1/4, 2/4, 3/4), or 1 - (0, 1/4, 2/4, 3/4)."""
    factors = [learning_rate_factor("wsd", step, 20, 3) for step in range(20)]
    assert factors[3:17] == [1.0] * 14
    assert factors[17:] == pytest.approx([0.5, 1 - math.sqrt(0.5), 1 - math.sqrt(0.75)])
    linear = [learning_rate_factor("wsd", step, 20, 3, decay_shape="linear") for step in range(16, 20)]
    assert linear == pytest.approx([1.0, 0.75, 0.5, 0.25])
    assert learning_rate_factor("wsd", 10, 20, 3, decay_share=0.5) == 1.0
    assert learning_rate_factor("wsd", 15, 20, 3, decay_share=0.5, decay_shape="linear") == 0.5


def test_wsd_of_a_longer_run_begins_as_that_of_a_shorter_one() -> None:
    shorter, longer = (
        [learning_rate_factor("wsd", step, num_steps, 5) for step in range(40)] for num_steps in (50, 90)
    )
    assert shorter == longer


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("num_steps", "warmup_steps"), [(1, 0), (1, 1), (3, 3), (5, 4), (7, 0)])
def test_any_lengths_give_rates_within_floor_and_peak(name: ScheduleName, num_steps: int, warmup_steps: int) -> None:
    factors = [learning_rate_factor(name, step, num_steps, warmup_steps, floor=0.1) for step in range(num_steps)]
    assert all(0.1 <= factor <= 1 for factor in factors)
    falling = factors[warmup_steps:]
    assert falling == sorted(falling, reverse=True)
