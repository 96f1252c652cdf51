"""Agreement with people and corrected scores: known numbers, unequal draws made even, intervals that hold."""

import numpy as np
import pytest
from scipy.stats import norm

from sartor.evaluation.agreement import (
    Confusion,
    Rate,
    Sample,
    confusion,
    corrected_scores,
    joined_strata,
    weighted_rate,
    weights_of,
)
from sartor.evaluation.statistics import Floats, mean_interval


def sample(paths: list[str], scores: Floats, labels: Floats) -> Sample:
    """Answers that all differ and whose labels all stand for as many."""
    keys = [str(place) for place in range(len(paths))]
    return Sample(paths, keys, scores, labels, np.where(np.isnan(labels), 0.0, 1.0))


def rate(labels: Floats) -> Rate:
    return Rate.of(labels, np.ones(len(labels)))


def test_kappa_as_in_a_textbook() -> None:
    """Cohen's example of the form 20, 5, 10, 15 of 50: agreement .7, by chance .5."""
    table = Confusion(20, 5, 10, 15)
    assert table.total == 50 and table.kappa == pytest.approx(0.4)


def test_kappa_is_undefined_where_everybody_always_says_the_same() -> None:
    assert Confusion(9, 0, 0, 0).kappa is None
    assert Confusion(9, 1, 0, 0).kappa == pytest.approx(0.0)
    assert Confusion(5, 0, 0, 5).kappa == pytest.approx(1.0)


def test_the_table_counts_by_half() -> None:
    scores, labels = np.array([1.0, 0.4, 0.5, 0.0, 1.0]), np.array([1.0, 0.5, 0.0, 0.0, 1.0])
    assert confusion(scores, labels, np.ones(5)) == Confusion(2, 1, 1, 1)
    assert confusion(scores, labels, np.array([2.0, 1, 1, 1, 3])).right_right == 5


def test_labels_stand_for_their_stratum() -> None:
    """Of 8 answers called right 2 are labelled, of 2 called wrong both: they stand for 4 and 1 each."""
    scores = np.array([1.0] * 8 + [0.0] * 2)
    labels = np.array([1.0, 0.0] + [np.nan] * 6 + [0.0, 0.0])
    answers = sample(["p"] * 10, scores, labels)
    weights = weights_of(answers)
    assert weights.tolist() == [4, 4, 0, 0, 0, 0, 0, 0, 1, 1]
    agreement = weighted_rate(np.array([1.0, 0.0, 1.0, 1.0]), weights[answers.labelled], ["a", "b", "c", "d"])
    assert agreement.mean == pytest.approx(0.6)


def test_equal_weights_give_wilsons_interval() -> None:
    values = np.array([1.0] * 30 + [0.0] * 10)
    keys = [str(place) for place in range(40)]
    found, wilson = weighted_rate(values, np.full(40, 2.5), keys), mean_interval(values)
    assert (found.mean, found.low, found.high) == pytest.approx((wilson.mean, wilson.low, wilson.high), abs=1e-9)
    uneven = weighted_rate(values, np.array([5.0] * 5 + [1.0] * 35), keys)
    assert uneven.high - uneven.low > found.high - found.low


def test_one_label_for_many_paths_is_one_label() -> None:
    values, keys = np.array([1.0] * 30 + [0.0] * 10), [str(place) for place in range(40)]
    once = weighted_rate(values, np.ones(40), keys)
    of_five_paths = weighted_rate(np.tile(values, 5), np.ones(200), keys * 5)
    assert (of_five_paths.low, of_five_paths.high) == pytest.approx((once.low, once.high)) and of_five_paths.n == 40
    scores = np.ones(60)
    labels = np.array([1.0, 0.0, 1.0, 0.0] * 5 + [np.nan] * 20 + [1.0, 0.0, 1.0, 0.0] + [np.nan] * 16)
    of_b = [str(place) for place in range(20)]
    paths = ["a"] * 20 + ["b"] * 20 + ["c"] * 20
    shared = Sample(paths, [*keys[:20], *keys[20:], *of_b], scores, labels, np.where(np.isnan(labels), 0.0, 1.0))
    apart = sample(["a"] * 20 + ["b"] * 20, scores[:40], labels[:40])
    assert corrected_scores(shared)["b"].pooled and corrected_scores(shared)["b"] == corrected_scores(apart)["b"]


def test_one_stratum_is_wilsons_interval_and_many_labels_make_it_the_normal_one() -> None:
    labels = np.array([1.0] * 6 + [0.0] * 4)
    estimate, low, high = joined_strata([1.0], [rate(labels)], 10**9)
    assert (estimate, low, high) == pytest.approx((0.6, 0.2791, 0.8532), abs=1e-4)
    many = [rate(np.array([1.0] * 9_000 + [0.0] * 1_000)), rate(np.array([1.0] * 2_000 + [0.0] * 8_000))]
    estimate, low, high = joined_strata([0.5, 0.5], many, 10**9)
    half = norm.ppf(0.975) * np.sqrt(0.25 * 0.9 * 0.1 / 10_000 + 0.25 * 0.2 * 0.8 / 10_000)
    assert (estimate, low, high) == pytest.approx((0.55, 0.55 - half, 0.55 + half), abs=1e-4)


def test_a_scorer_that_is_too_kind_is_corrected() -> None:
    """It calls all answers right, people 3 of 10 labelled ones."""
    labels = np.array([1.0] * 3 + [0.0] * 7 + [np.nan] * 90)
    found = corrected_scores(sample(["p"] * 100, np.ones(100), labels))["p"]
    assert found.scorer == 1.0 and found.estimate == pytest.approx(0.3) and not found.pooled
    assert (found.n, found.labelled) == (100, 10)
    assert found.low is not None and found.high is not None and 0.0 < found.low < 0.3 < found.high < 0.7


def test_few_labels_are_pooled_over_paths_and_it_is_told() -> None:
    scores = np.array([1.0, 0.0] * 20)
    paths = ["a"] * 20 + ["b"] * 20
    labels = np.full(40, np.nan)
    labels[:20] = [1.0, 0.0] * 10
    found = corrected_scores(sample(paths, scores, labels))
    assert not found["a"].pooled and found["b"].pooled
    assert found["b"].estimate == pytest.approx(0.5) and found["b"].labelled == 0


def test_without_a_label_of_a_stratum_nothing_is_claimed() -> None:
    scores, labels = np.array([1.0] * 10 + [0.0] * 10), np.array([1.0] * 10 + [np.nan] * 10)
    found = corrected_scores(sample(["p"] * 20, scores, labels))["p"]
    assert found.estimate is found.low is found.high is None and found.scorer == 0.5


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.9, 0.9), (0.95, 0.6), (0.6, 0.95), (0.5, 0.5)])
@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("number", [16, 50])
def test_the_corrected_interval_holds_the_true_rate(
    rate: float, sensitivity: float, specificity: float, number: int
) -> None:
    """400 simulated tests each: 95 % nominal hold in 93 % of the cases at least, within the error of simulation;
    the estimate is without bias, whatever the scorer does."""
    draw = np.random.default_rng([number, int(100 * rate), int(100 * sensitivity)])
    repetitions, answers = 400, 200
    inside, total, told = 0, 0.0, 0
    for _ in range(repetitions):
        truth = draw.random(answers) < rate
        scores = np.where(truth, draw.random(answers) < sensitivity, draw.random(answers) >= specificity).astype(float)
        labels = np.full(answers, np.nan)
        for called in (0.0, 1.0):
            of_stratum = np.flatnonzero(scores == called)
            drawn = draw.choice(of_stratum, min(number // 2, len(of_stratum)), replace=False)
            labels[drawn] = truth[drawn]
        found = corrected_scores(sample(["p"] * answers, scores, labels))["p"]
        if found.estimate is None or found.low is None or found.high is None:
            continue
        told += 1
        inside += found.low <= rate <= found.high
        total += found.estimate - rate
    assert told == repetitions
    assert inside / told >= 0.93 - 2 * np.sqrt(0.05 * 0.95 / repetitions)
    assert abs(total / told) < 0.025
