"""Losses of single rows are those of the reference, in the rows' order; the error of a difference is what it says."""

import math

import numpy as np
import pytest

from sartor.models.forward import use_packed_attention
from sartor.train.likelihood import mean_loss, paired_difference, row_losses
from tests import tiny_models


@pytest.mark.parametrize("micro_batch_tokens", [1, 30, 10_000])
def test_each_row_has_its_own_loss_in_the_rows_order(micro_batch_tokens: int) -> None:
    rows = tiny_models.rows([12, 5, 30, 7, 5, 21], shared=9)
    reference = tiny_models.model().requires_grad_(False)
    expected = [-float(tiny_models.reference_log_probs(reference, [row]).sum()) for row in rows]
    model = use_packed_attention(tiny_models.model())
    assert row_losses(model, rows, micro_batch_tokens) == pytest.approx(expected, rel=1e-4)
    mean = sum(expected) / sum(row.num_trained for row in rows)
    assert mean_loss(model, rows, micro_batch_tokens) == pytest.approx(mean, rel=1e-4)


def test_the_error_of_equal_rows_is_the_textbooks() -> None:
    a, b = np.array([3.0, 1.0, 4.0, 1.0, 5.0]), np.array([2.0, 2.0, 2.0, 1.0, 1.0])
    difference, error = paired_difference(a, b, np.ones(5))
    assert difference == pytest.approx(1.2)
    assert error == pytest.approx(np.std(a - b, ddof=1) / math.sqrt(5))
    assert paired_difference(a[:1], b[:1], np.ones(1)) == (1.0, math.inf)


def test_the_error_of_unequal_rows_is_what_drawing_rows_again_gives() -> None:
    chance = np.random.default_rng(0)
    sizes = chance.integers(1, 40, 300).astype(float)
    a = sizes * (1 + 0.3 * chance.standard_normal(300))
    b = sizes * (1.1 + 0.2 * chance.standard_normal(300))
    drawn = [chance.integers(0, 300, 300) for _ in range(4000)]
    spread = np.std([(a[each] - b[each]).sum() / sizes[each].sum() for each in drawn])
    assert paired_difference(a, b, sizes)[1] == pytest.approx(spread, rel=0.06)
