"""Measures of rankings against figures computed by hand."""

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.data.ranking_measures import discounted_gain, recall, reciprocal_rank
from sartor.evaluation.retrieval_metrics import retrieval_scores

IDS = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


def test_figures_by_hand():
    ranking = ["x", "a", "y", "b", "z"]
    assert recall(ranking, {"a", "b", "c"}, 2) == pytest.approx(1 / 3)
    assert recall(ranking, {"a", "b", "c"}, 5) == pytest.approx(2 / 3)
    assert reciprocal_rank(ranking, {"b", "a"}) == 0.5
    best = 1 + 1 / log2(3) + 1 / log2(4)
    assert discounted_gain(ranking, {"a", "b", "c"}) == pytest.approx((1 / log2(3) + 1 / log2(5)) / best)
    assert discounted_gain(["a"], {"a"}) == 1.0 and discounted_gain(["x"] * 10 + ["a"], {"a"}) == 0.0
    assert discounted_gain(["a", "a", "b"], {"a", "b"}) == pytest.approx((1 + 1 / 2) / (1 + 1 / log2(3)))


def test_depth_bounds_what_is_possible_too():
    wanted = {str(number) for number in range(20)}
    assert discounted_gain([str(number) for number in range(10)], wanted, 10) == pytest.approx(1.0)


@given(IDS, st.sets(st.sampled_from("abcdefgh"), min_size=1))
def test_measures_lie_in_bounds_and_the_best_ranking_has_all(ranking, evidence):
    for measure in (
        recall(ranking, evidence, 5),
        reciprocal_rank(ranking, evidence),
        discounted_gain(ranking, evidence),
    ):
        assert 0 <= measure <= 1 + 1e-12
    ideal = [*sorted(evidence), *ranking]
    assert discounted_gain(ideal, evidence) == pytest.approx(1.0) and reciprocal_rank(ideal, evidence) == 1.0


def test_questions_are_averaged_with_intervals_and_compared_in_pairs():
    evidence = [{"a"}, {"b"}, {"c"}, {"a", "d"}] * 10
    good = retrieval_scores([["a"], ["x", "b"], ["c", "c", "x"], ["a", "a", "d"]] * 10, evidence, k=2)
    bad = retrieval_scores([["x"], ["x", "y", "b"], ["x"], []] * 10, evidence, k=2)
    assert good.intervals()["recall@2"].mean == 1.0
    assert good.intervals()["MRR@10"].mean == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert good.intervals()["nDCG@10"].mean == pytest.approx((1 + 1 / log2(3) + 1 + 1) / 4)
    interval = bad.intervals()["MRR@10"]
    assert interval.mean == pytest.approx(1 / 12) and interval.low < 1 / 12 < interval.high and interval.n == 40
    assert good.compared_with(bad)["recall@2"].difference == 1.0 and good.compared_with(bad)["recall@2"].low > 0.8
    grouped = bad.intervals(groups=[number // 4 for number in range(40)])["MRR@10"]
    assert grouped.high - grouped.low > interval.high - interval.low


def test_a_question_without_evidence_is_refused():
    with pytest.raises(ValueError, match="evidence"):
        retrieval_scores([["a"]], [set()])
    assert retrieval_scores([], []).recall.shape == np.zeros(0).shape
