"""Fusion of two rankings and the choice of its weight, against figures computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sartor.data.ranking_measures import recall, reciprocal_rank
from sartor.retrieval.fusion import (
    DEFAULT_DENSE_WEIGHT,
    GRID,
    Candidates,
    choose_fusion,
)

SCORES = arrays.arrays(np.float64, 6, elements=st.floats(-1, 1))


def candidates(lexical: list[float], dense: list[float]) -> Candidates:
    return Candidates(np.arange(len(lexical)), np.array(lexical), np.array(dense))


def test_scores_are_scaled_from_their_theoretical_minimum():
    one = candidates([8.0, 2.0, 0.0], [0.0, 0.6, -1.0])
    np.testing.assert_allclose(one.fused(0.25), [0.75 + 0.25 * 1 / 1.6, 0.75 * 0.25 + 0.25, 0.0])
    order, scores = one.ranked(0.5)
    np.testing.assert_array_equal(order, [0, 1, 2])
    np.testing.assert_allclose(scores, one.fused(0.5))


@given(SCORES, SCORES, st.floats(0, 1))
def test_fused_scores_stay_in_bounds_and_the_ends_are_the_single_rankings(lexical, dense, weight):
    lexical = np.abs(lexical)
    one = candidates(list(lexical), list(dense))
    assert one.fused(weight).min() >= 0 and one.fused(weight).max() <= 1 + 1e-12
    for end, scores in ((0.0, lexical), (1.0, dense)):
        ranked = scores[one.ranked(end)[0]]
        assert (np.diff(ranked) <= 1e-9).all()


def test_no_candidates_and_no_matches_are_no_error():
    assert candidates([], []).ranked(0.5)[0].tolist() == []
    assert candidates([0, 0, 0], [-1, -1, -1]).ranked(0.5)[0].tolist() == [0, 1, 2]


def test_measures():
    assert recall(["a", "b", "a", "c"], {"c", "a"}, 3) == 0.5
    assert recall(["a", "b", "c"], ["c"], 3) == 1.0
    assert reciprocal_rank(["a", "b", "c"], {"c", "b"}) == 0.5
    assert reciprocal_rank(["a"] * 10 + ["b"], {"b"}) == 0.0


def questions(good: str, number: int) -> tuple[list[Candidates], list[list[str]], list[set[str]]]:
    """Questions whose evidence the `good` score puts first and the other one last."""
    right, wrong = [0.9, 0.5, 0.1], [0.1, 0.5, 0.9]
    scores = {"lexical": (right, wrong), "dense": (wrong, right), "both": (right, right)}[good]
    return [candidates(*scores)] * number, [["gold", "other", "third"]] * number, [{"gold"}] * number


def test_the_better_ranking_gets_the_weight():
    assert choose_fusion(*questions("dense", 40), k=1).dense_weight >= DEFAULT_DENSE_WEIGHT
    lexical = choose_fusion(*questions("lexical", 40), k=1)
    assert lexical.dense_weight < DEFAULT_DENSE_WEIGHT
    assert set(lexical.tried) == set(GRID) and lexical.questions == 40
    assert lexical.tried[0.0] == (1.0, 1.0) and lexical.tried[1.0] == (0.0, pytest.approx(1 / 3))
    assert lexical.tried[lexical.dense_weight] == (1.0, 1.0)


def test_without_evidence_or_difference_the_default_stays():
    found, documents, _ = questions("lexical", 5)
    assert choose_fusion(found, documents, [()] * 5, k=3).dense_weight == DEFAULT_DENSE_WEIGHT
    assert choose_fusion([], [], [], k=3).dense_weight == DEFAULT_DENSE_WEIGHT
    assert choose_fusion(*questions("both", 9), k=3, default=0.35).dense_weight == 0.35


def test_one_question_among_many_does_not_move_the_weight():
    many, one = questions("both", 30), questions("lexical", 1)
    mixed = [first + second for first, second in zip(many, one, strict=True)]
    assert choose_fusion(*mixed, k=1).dense_weight == DEFAULT_DENSE_WEIGHT
