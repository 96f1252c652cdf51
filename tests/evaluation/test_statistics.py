"""Statistics: formulas against scipy, published figures, and coverage and error rates by simulation."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from sartor.evaluation.statistics import (
    beyond_seen,
    difference_interval,
    holm,
    mcnemar,
    mean_interval,
    paired_difference,
    student_quantile,
    unbounded_difference,
)

Draw = Callable[[int], NDArray[np.float64]]


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 10), (10, 10), (3, 10), (29, 30), (71, 200)])
def test_single_binary_rows_have_wilsons_interval(right: int, n: int, confidence: float) -> None:
    found = mean_interval([1] * right + [0] * (n - right), confidence=confidence)
    oracle = stats.binomtest(right, n).proportion_ci(confidence, method="wilson")
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-9)
    assert (found.mean, found.n) == (right / n, n)


def coverage(draw: Draw, truth: float, n: int, groups: list[int] | None = None) -> float:
    found = (mean_interval(draw(n), groups) for _ in range(500))
    return float(np.mean([interval.low <= truth <= interval.high for interval in found]))


@pytest.mark.parametrize("n", [10, 30, 100])
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_binary_interval_covers(rate: float, n: int) -> None:
    """Exactly, by summing the binomial: at least 92 % at every one of these rates."""
    inside = [k for k in range(n + 1) if (i := mean_interval([1] * k + [0] * (n - k))).low <= rate <= i.high]
    assert stats.binom.pmf(inside, n, rate).sum() >= 0.92


@pytest.mark.parametrize("n", [10, 30, 100])
@pytest.mark.parametrize("shape", [(2, 2), (0.3, 0.3), (1, 9), (0.1, 0.9), (20, 20)])
def test_fractional_interval_covers(shape: tuple[float, float], n: int) -> None:
    generator = np.random.default_rng(0)
    assert coverage(lambda n: generator.beta(*shape, n), shape[0] / sum(shape), n) >= 0.92


@pytest.mark.parametrize("n", [10, 30, 100])
def test_mixture_of_none_part_and_all_covers(n: int) -> None:
    generator = np.random.default_rng(1)

    def draw(n: int) -> NDArray[np.float64]:
        part = np.where(generator.random(n) < 0.5, 0.0, generator.beta(2, 2, n))
        return np.where(generator.random(n) < 0.4, 1.0, part)

    assert coverage(draw, 0.55, n) >= 0.92


@pytest.mark.parametrize(("num_groups", "size"), [(5, 6), (10, 5), (30, 4)])
@pytest.mark.parametrize("correlation", [0.1, 0.5, 0.9])
def test_groups_widen_the_interval_until_it_covers(num_groups: int, size: int, correlation: float) -> None:
    generator = np.random.default_rng(2)
    groups = [group for group in range(num_groups) for _ in range(size)]

    def draw(n: int) -> NDArray[np.float64]:
        strength = 1 / correlation - 1
        rates = generator.beta(0.6 * strength, 0.4 * strength, num_groups).repeat(size)
        return (generator.random(n) < rates).astype(float)

    assert coverage(draw, 0.6, len(groups), groups) >= 0.92
    if correlation == 0.9:
        assert coverage(draw, 0.6, len(groups)) < 0.8


def test_interval_is_sane_at_the_edges() -> None:
    for scores in ([0.5], [0.5] * 10, [0.0] * 3, [1.0] * 3, [1e-9] * 4):
        found = mean_interval(scores)
        assert 0 <= found.low <= found.mean <= found.high <= 1
        assert found.high - found.low > 0.2
    one_group = mean_interval([0, 1, 1, 0, 1], ["a"] * 5)
    assert one_group.low < 0.2 and one_group.high > 0.9
    same = mean_interval([1.0] * 20, ["a"] * 10 + ["b"] * 10)
    assert (same.low, same.high) == pytest.approx(tuple(stats.binomtest(2, 2).proportion_ci(method="wilson")))
    assert mean_interval([0, 0.5, 1], ["x", "y", "z"]) == mean_interval([0, 0.5, 1])


@pytest.mark.parametrize("scores", [[], [0.5, float("nan")], [1.5], [-0.1], [[0, 1]]])
def test_bad_scores_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError):
        mean_interval(scores)
    with pytest.raises(ValueError):
        paired_difference(scores, scores)


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        paired_difference([0, 1], [1])
    with pytest.raises(ValueError, match="one group a row"):
        paired_difference([0, 1], [1, 0], ["a"])


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (5, 0), (3, 9), (40, 40), (120, 80), (2000, 1500)])
def test_mcnemar_is_the_exact_binomial(only_a: int, only_b: int) -> None:
    oracle = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar(only_a, only_b) == pytest.approx(oracle, rel=1e-9)
    a = [1] * only_a + [0] * only_b + [1, 0]
    b = [0] * only_a + [1] * only_b + [1, 0]
    found = paired_difference(a, b)
    assert (found.test, found.p) == ("exact McNemar", mcnemar(only_a, only_b))
    assert (found.discordant, found.n) == (only_a + only_b, only_a + only_b + 2)


def test_bonett_price_interval_by_hand() -> None:
    """16 and 5 discordant of 50: (17 - 6) / 52 and its standard error."""
    a, b = [1] * 16 + [0] * 5 + [1] * 29, [0] * 16 + [1] * 5 + [1] * 29
    middle = 11 / 52
    half = 1.959963985 * math.sqrt((23 / 52 - middle**2) / 52)
    assert difference_interval(a, b) == pytest.approx((middle - half, middle + half), abs=1e-9)
    assert paired_difference(a, b).difference == pytest.approx(11 / 50)
    assert paired_difference(a, b).spread == pytest.approx(21 / 50)


def test_swapping_the_paths_mirrors_the_comparison() -> None:
    generator = np.random.default_rng(3)
    for a, b in (generator.random((2, 60)), generator.integers(0, 2, (2, 60))):
        for groups in (None, list(np.arange(60) // 4)):
            there, back = paired_difference(a, b, groups), paired_difference(b, a, groups)
            mirrored = (-back.difference, -back.high, -back.low)
            assert (there.difference, there.low, there.high) == pytest.approx(mirrored)
            assert (there.p, there.test, there.spread) == (back.p, back.test, pytest.approx(back.spread))
            assert there == paired_difference(a, b, groups)


def all_signs_p(sums: NDArray[np.float64]) -> float:
    totals = [abs(np.dot(signs, sums)) for signs in itertools.product((-1, 1), repeat=len(sums))]
    return float(np.mean([total >= abs(sums.sum()) - 1e-12 for total in totals]))


def test_few_differences_are_permuted_completely() -> None:
    generator = np.random.default_rng(4)
    a, b = generator.random((2, 10))
    alike = np.full(50, 0.5)
    found = paired_difference([*a, *alike], [*b, *alike])
    assert found.p == pytest.approx(all_signs_p(a - b)) and found.test == "sign-flip permutation"
    groups = [*"aabbbccdee", *map(str, range(50))]
    by_group = paired_difference([*a, *alike], [*b, *alike], groups)
    sums = np.array([np.sum((a - b)[np.array(list("aabbbccdee")) == group]) for group in "abcde"])
    assert by_group.p == pytest.approx(all_signs_p(sums))
    assert by_group.test == "sign-flip permutation by group"


def test_many_differences_are_permuted_like_scipy() -> None:
    generator = np.random.default_rng(5)
    a = generator.random(80)
    b = np.clip(a + generator.normal(0.04, 0.2, 80), 0, 1)
    oracle = stats.permutation_test((a - b,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1)
    assert paired_difference(a, b).p == pytest.approx(oracle.pvalue, abs=0.01)
    far = paired_difference(np.ones(80), generator.random(80) * 0.1)
    assert far.p == pytest.approx(1 / 10_000)


@pytest.mark.parametrize("n", [100, 400])
def test_small_scores_are_not_covered_all_too_well(n: int) -> None:
    """Fractions that are mostly 0 and never near 1: 93 to 97.5 % of the intervals hold the truth, not all of them."""
    generator = np.random.default_rng(11)

    def draw(n: int) -> NDArray[np.float64]:
        return np.where(generator.random(n) < 0.3, generator.beta(2, 14, n), 0.0)

    assert 0.93 <= coverage(draw, 0.3 / 8, n) <= 0.985
    held = [difference_interval(draw(n), draw(n)) for _ in range(500)]
    assert 0.93 <= np.mean([low <= 0 <= high for low, high in held]) <= 0.985


def test_what_a_sample_does_not_show_is_weighed_less_the_more_it_shows() -> None:
    assert beyond_seen(0.0, 0, 1.0) == 1
    assert beyond_seen(1.0, 50, 1.0) == 1
    sizes = [beyond_seen(0.2, seen, 1.0) for seen in (1, 10, 100, 10_000)]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] == pytest.approx(0.2, abs=0.001)


def test_identical_answers_are_no_difference() -> None:
    for scores in (np.arange(40) % 2, np.linspace(0, 1, 40)):
        found = paired_difference(scores, scores)
        assert (found.difference, found.p, found.discordant, found.spread) == (0, 1, 0, 0)
        assert found.low < -0.03 and found.high > 0.03


@pytest.mark.parametrize("n", [10, 30, 100])
@pytest.mark.parametrize("kind", ["binary", "f1", "sparse", "skewed"])
def test_difference_interval_covers(kind: str, n: int) -> None:
    generator = np.random.default_rng(6)

    def draw(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        chance, part = generator.random(n), generator.beta(2, 2, n)
        if kind == "binary":
            return (chance < 0.7).astype(float), ((chance < 0.5) | (chance > 0.9)).astype(float)
        if kind == "f1":
            return np.where(chance < 0.5, 1, part), np.where(chance < 0.3, 1, np.where(chance < 0.8, part, 0))
        if kind == "sparse":
            return np.where(chance < 0.05, part, 0), np.zeros(n)
        return np.where(chance < 0.15, 0, part / 8 + 0.5), np.full(n, 0.5)

    truth = float(np.subtract(*draw(400_000)).mean())
    limits = [difference_interval(*draw(n)) for _ in range(400)]
    assert np.mean([low <= truth <= high for low, high in limits]) >= 0.93


@pytest.mark.parametrize("n", [8, 30, 64])
@pytest.mark.parametrize("kind", ["scores", "normal", "two points", "sparse"])
def test_difference_of_unbounded_measures_covers(kind: str, n: int) -> None:
    """What is seen stands for bounds that nobody knows: a little less where one row in ten says anything at all, of
    which Student's t alone holds the truth in fewer."""
    generator = np.random.default_rng(8)

    def draw(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        chance, part = generator.random(n), generator.normal(0, 1, n)
        if kind == "scores":
            return (chance < 0.7).astype(float), (generator.random(n) < 0.6).astype(float)
        if kind == "normal":
            return 3 + part + generator.normal(0.2, 0.5, n), 3 + part
        if kind == "two points":
            return 5.0 * (chance < 0.9), np.zeros(n)
        return np.where(chance < 0.1, 2 + part, 0), np.zeros(n)

    truth = float(np.subtract(*draw(400_000)).mean())
    drawn = [draw(n) for _ in range(400)]
    found = [unbounded_difference(*each) for each in drawn]
    covered = np.mean([low <= truth <= high for _, low, high in found])
    assert covered >= (0.9 if kind == "sparse" else 0.93)
    if kind in ("two points", "sparse"):
        errors = [stats.t.ppf(0.975, n - 1) * np.subtract(*each).std(ddof=1) / math.sqrt(n) for each in drawn]
        assert covered > np.mean([abs(mean - truth) <= half for (mean, _, _), half in zip(found, errors, strict=True)])


def test_equal_differences_of_a_few_rows_are_no_certainty() -> None:
    for reward_before, reward_after, count in ((0.0, 0.0, 8), (0.0, 1.0, 5), (0.0, 3.0, 8), (-2.0, -2.0, 8)):
        before, after = [reward_before] * count, [reward_after] * count
        mean, low, high = unbounded_difference(after, before)
        assert mean == after[0] - before[0] and low <= mean <= high and high - low > 0.2
    assert unbounded_difference([0.0] * 8, [0.0] * 8)[1:] == difference_interval([0.0] * 8, [0.0] * 8)
    assert unbounded_difference([2.0], [1.0]) == (1.0, -math.inf, math.inf)


def test_many_rows_of_an_unbounded_measure_have_student_s_interval() -> None:
    before, change = np.random.default_rng(9).normal(0, 1, (2, 2_000))
    _, low, high = unbounded_difference(before + change, before)
    half = stats.t.ppf(0.975, 1_999) * change.std(ddof=1) / math.sqrt(2_000)
    assert (low, high) == pytest.approx((change.mean() - half, change.mean() + half), abs=2e-3)


def test_groups_are_needed_for_coverage_and_level() -> None:
    generator = np.random.default_rng(7)
    groups = list(np.arange(60) // 5)
    covered, covered_without, small_p, small_p_without = [], [], [], []
    for _ in range(150):
        a, b = (generator.random((2, 12)).repeat(5, axis=1) > 0.5).astype(float)
        low, high = difference_interval(a, b, groups)
        covered.append(low <= 0 <= high)
        low, high = difference_interval(a, b)
        covered_without.append(low <= 0 <= high)
        small_p.append(paired_difference(a, b, groups).p < 0.05)
        small_p_without.append(paired_difference(a, b).p < 0.05)
    assert np.mean(covered) >= 0.93 > 0.8 > np.mean(covered_without)
    assert np.mean(small_p) <= 0.06 < 0.2 < np.mean(small_p_without)
    assert difference_interval([0.0, 1.0], [0.5, 0.0], ["a", "a"]) == (-1, 1)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 29, 99, 100, 1000])
@pytest.mark.parametrize("probability", [0.6, 0.975, 0.9975])
def test_student_quantile(degrees: int, probability: float) -> None:
    oracle = stats.t.ppf(probability, degrees)
    assert student_quantile(probability, degrees) == pytest.approx(oracle, rel=1e-6)
