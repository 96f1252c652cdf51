"""Which steps are tried before a run, and what its speed is taken to be."""

from statistics import mean

import pytest

from sartor.data.batches import BatchSource
from sartor.train.plan import ProbeSource, Speed, mean_tokens, step_sizes, typical_steps, worst_steps
from tests import tiny_models


def source(rows_per_step: int = 4, micro_batch_tokens: int = 64, count: int = 60) -> BatchSource:
    rows = tiny_models.rows([5 + (7 * n) % 40 for n in range(count)])
    return BatchSource(rows, rows_per_step, micro_batch_tokens, seed=0)


def test_sizes_are_those_of_the_batches() -> None:
    of = source()
    sizes = step_sizes(of, 20)
    assert [size.step for size in sizes] == list(range(20))
    for size in sizes:
        batches = of.step(size.step)
        assert size.tokens == sum(len(batch.ids) for batch in batches)
        assert size.largest_tokens == max(len(batch.ids) for batch in batches)
        assert size.trained == sum(batch.num_trained for batch in batches)


def test_a_shared_beginning_is_counted_once() -> None:
    of = BatchSource(tiny_models.rows([6, 6, 6, 6], shared=20), 4, 1000, seed=0)
    (size,) = step_sizes(of, 1)
    assert (size.tokens, size.row_tokens) == (20 + 4 * 5, 4 * 26)  # each row's last token is only predicted


def test_a_long_run_is_sampled_and_its_longest_row_is_not_missed() -> None:
    of = source(count=400)
    longest = max(range(400), key=lambda index: len(of.rows[index].ids))
    sizes = step_sizes(of, 1000, most=10)
    assert 10 <= len(sizes) <= 11
    assert any(any(row is of.rows[longest] for row in of.rows_of(size.step)) for size in sizes)


def test_the_worst_step_has_the_largest_micro_batch() -> None:
    sizes = step_sizes(source(), 45)
    worst = worst_steps(sizes)
    assert worst[0].largest_tokens == max(size.largest_tokens for size in sizes)
    assert max(size.largest_trained for size in worst) == max(size.largest_trained for size in sizes)


def test_typical_steps_are_as_long_as_all() -> None:
    sizes = step_sizes(source(), 45)
    chosen = typical_steps(sizes, 6)
    assert len(chosen) == 6
    assert mean(size.tokens for size in chosen) == pytest.approx(mean_tokens(sizes), rel=0.05)
    assert typical_steps(sizes[:2], 6) == sorted(sizes[:2], key=lambda size: size.tokens)


def test_one_slow_step_does_not_change_the_speed() -> None:
    speed = Speed.of([100, 200, 100, 200, 100], [1.0, 2.0, 1.1, 1.9, 9.0])
    assert speed.seconds_per_token == pytest.approx(0.01)
    assert (speed.least, speed.most) == (pytest.approx(0.0095), pytest.approx(0.09))


def test_the_probe_gives_the_chosen_steps_and_marks_when() -> None:
    of = source()
    probe = ProbeSource(of, [7, 3])
    given = [probe.step(0), probe.step(1)]
    assert [batch.ids.tolist() for batch in given[0]] == [batch.ids.tolist() for batch in of.step(7)]
    assert [batch.ids.tolist() for batch in given[1]] == [batch.ids.tolist() for batch in of.step(3)]
    assert len(probe.marks) == 2 and probe.marks[0] <= probe.marks[1]
