"""Which rows a step takes, and how they are cut: a function of the seed and the step, and nothing is left out."""

import numpy as np
import pytest

from sartor.data.batches import StepOrder, of_similar_length, sample_rows, shares
from tests import tiny_models

LENGTHS = [3, 40, 7, 7, 22, 11, 18, 5, 30, 9, 2]


@pytest.mark.parametrize(("count", "per_step"), [(11, 4), (12, 4), (3, 5), (1, 1)])
def test_every_epoch_takes_each_thing_once_in_a_new_order(count: int, per_step: int) -> None:
    order = StepOrder(count, per_step, seed=7)
    epochs = [
        [order.indices(step) for step in range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)]
        for epoch in range(3)
    ]
    for steps in epochs:
        assert sorted(index for step in steps for index in step) == list(range(count))
        assert all(len(step) == per_step for step in steps[:-1]) and 0 < len(steps[-1]) <= per_step
    assert count < 10 or epochs[0] != epochs[1]
    again, other = StepOrder(count, per_step, seed=7), StepOrder(count, per_step, seed=8)
    assert again.indices(5) == order.indices(5)
    assert count < 10 or other.indices(5) != order.indices(5)


def test_an_epoch_is_put_in_order_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    philox = np.random.Philox
    monkeypatch.setattr(np.random, "Philox", lambda seed: drawn.append(seed[1]) or philox(seed))
    order = StepOrder(100, 4, seed=7)
    for step in range(60):
        order.indices(step)
    assert drawn == [0, 1, 2]


@pytest.mark.parametrize("limit", [1, 25, 50, 10_000])
def test_rows_of_similar_length_are_cut_together(limit: int) -> None:
    rows = tiny_models.rows(LENGTHS)
    parts = of_similar_length(rows, limit)
    assert [row.num_tokens for part in parts for row in part] == sorted(LENGTHS)
    assert all(sum(row.num_tokens for row in part) <= limit or len(part) == 1 for part in parts)


@pytest.mark.parametrize("number", [1, 2, 3, 20])
def test_processes_share_all_rows_about_evenly(number: int) -> None:
    rows = tiny_models.rows(LENGTHS)
    parts = shares(rows, number)
    assert sorted(row.num_tokens for part in parts for row in part) == sorted(LENGTHS)
    assert len(parts) == min(number, len(LENGTHS)) and all(parts)
    sizes = [sum(row.num_tokens for row in part) for part in parts]
    assert max(sizes) - min(sizes) <= max(LENGTHS)


@pytest.mark.parametrize("most", [1, 60, 100, 10_000])
def test_a_sample_is_of_all_lengths_with_the_longest(most: int) -> None:
    rows = tiny_models.rows(LENGTHS)
    found = [row.num_tokens for row in sample_rows(rows, most)]
    assert found[0] == max(LENGTHS)
    assert len(found) == (len(LENGTHS) if most >= sum(LENGTHS) else len(LENGTHS[:: -(-sum(LENGTHS) // most)]))
