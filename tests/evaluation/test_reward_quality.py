"""How good a reward model is: figures by hand, ranks against scipy, and what chance alone brings."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from sartor.evaluation.reward_quality import RewardQuality, reward_quality, spearman
from sartor.evaluation.statistics import mean_interval

THREE_TO_ONE = math.log(3)  # the margin at which the model gives the better answer 75 %


def test_accuracy_ties_and_the_baseline_by_hand() -> None:
    """Rewards: right, wrong, tie, right. Longer is better: right, right, wrong, tie."""
    found = reward_quality([2, 0, 1, 5], [1, 3, 1, 0], [9, 8, 3, 4], [2, 1, 7, 4])
    assert (found.pairs, found.ties) == (4, 1)
    assert found.accuracy == mean_interval([1, 0, 0.5, 1]) and found.accuracy.mean == 0.625
    assert found.longer_is_better == mean_interval([1, 1, 0, 0.5]) and found.longer_is_better.mean == 0.625
    assert found.length_rule == "longer" and found.length_accuracy == found.longer_is_better
    assert found.versus_length.difference == 0 and found.versus_length.discordant == 3
    assert (found.chosen_reward, found.rejected_reward, found.mean) == (2, 1.25, 1.625)
    assert found.deviation == pytest.approx(np.std([2, 0, 1, 5, 1, 3, 1, 0], ddof=1))


def test_the_comparison_with_length_is_mcnemars_on_the_same_pairs() -> None:
    """12 pairs that only the model has right, 2 that only length has right, 26 that both have."""
    won, longer = np.array([1] * 38 + [0] * 2), np.array([0] * 12 + [1] * 28)
    found = reward_quality(won, 1 - won, longer, 1 - longer).versus_length
    assert found.difference == pytest.approx(0.25) and found.test == "exact McNemar"
    assert found.p == pytest.approx(stats.binomtest(2, 14).pvalue)


def test_calibration_by_hand() -> None:
    """Four pairs at 75 % of which two are right, four at 50 %."""
    margins = np.array([THREE_TO_ONE, THREE_TO_ONE, -THREE_TO_ONE, -THREE_TO_ONE, 0, 0, 0, 0])
    found = reward_quality(margins, np.zeros(8), np.ones(8), np.ones(8)).calibration
    assert [each.confidence for each in found.bins] == pytest.approx([0.5, 0.75])
    assert [each.accuracy for each in found.bins] == [mean_interval([0.5] * 4), mean_interval([1, 1, 0, 0])]
    assert found.error == pytest.approx(0.5 * 0.25)
    assert found.brier == pytest.approx((2 * 0.25**2 + 2 * 0.75**2 + 4 * 0.5**2) / 8)
    assert found.error_by_chance == pytest.approx(
        math.sqrt(2 / math.pi) * (math.sqrt(4 / 4) + math.sqrt(4 * 3 / 16)) / 8
    )


def test_bins_hold_equally_many_pairs() -> None:
    bins = reward_quality(np.arange(1, 106) / 50, np.zeros(105), np.ones(105), np.ones(105)).calibration.bins
    assert [each.accuracy.n for each in bins] == [10, 11] * 5
    assert sorted(each.confidence for each in bins) == [each.confidence for each in bins]
    assert len(reward_quality([1, 2, 3], [0, 0, 0], [1, 1, 1], [1, 1, 1]).calibration.bins) == 3


def test_the_order_of_pairs_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    columns = generator.integers(0, 4, (4, 200)).astype(float)  # few values: many equal probabilities
    mixed = columns[:, generator.permutation(200)]
    once, again = reward_quality(*columns).as_dict(), reward_quality(*mixed).as_dict()
    assert json.dumps(_rounded(once)) == json.dumps(_rounded(again))


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items() if key != "p"}  # drawn, so not quite the same
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(value, 9) + 0.0 if isinstance(value, float) else value


def simulated(num_pairs: int, sharpness: float, seed: int) -> RewardQuality:
    """Pairs whose better answer is drawn with sigmoid(margin); the model then says `sharpness` times the margin."""
    generator = np.random.default_rng(seed)
    margin = generator.normal(0, 2, num_pairs)
    chosen = generator.random(num_pairs) < 1 / (1 + np.exp(-margin))
    said = sharpness * np.where(chosen, margin, -margin)
    lengths = generator.integers(10, 100, (2, num_pairs))
    return reward_quality(said, np.zeros(num_pairs), *lengths)


def test_an_honest_model_is_off_by_chance_only_and_a_boastful_one_by_more() -> None:
    honest = [simulated(300, 1, seed).calibration for seed in range(40)]
    assert np.mean([each.error for each in honest]) == pytest.approx(honest[0].error_by_chance, rel=0.1)
    boastful = simulated(300, 3, 0).calibration
    assert boastful.error > 2 * boastful.error_by_chance
    assert boastful.brier > honest[0].brier, "the Brier score is lowest for honest probabilities"


@pytest.mark.parametrize("num_values", [3, 10, 10_000])
def test_rank_correlation_is_scipys(num_values: int) -> None:
    generator = np.random.default_rng(1)
    a = generator.integers(0, num_values, 300)
    b = a + generator.integers(0, num_values, 300)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert spearman(-a, np.exp(b / num_values)) == pytest.approx(-stats.spearmanr(a, b).statistic, abs=1e-12)
    assert spearman(a, np.ones(300)) is None


def test_a_model_that_pays_for_length_is_found() -> None:
    """The reward is the length: always right where the chosen answer is longer, never where it is shorter."""
    chosen, rejected = np.array([50] * 30 + [10] * 10 + [20] * 2), np.array([20] * 30 + [40] * 10 + [20] * 2)
    found = reward_quality(chosen / 10, rejected / 10, chosen, rejected)
    bias = found.length_bias
    assert bias.correlation == pytest.approx(1)
    assert bias.longer == mean_interval([1] * 30) and bias.shorter == mean_interval([0] * 10)
    assert bias.difference == 1 and bias.high == 1 and bias.low is not None and bias.low > 0.5
    assert found.versus_length.difference == 0 and found.versus_length.p == 1
    assert "+100.0 points" in found.sentences()[4] and "beyond chance" in found.sentences()[4]
    assert "that the model differs is not shown" in found.sentences()[1]


def test_a_reward_for_being_short_gains_nothing_where_short_answers_are_preferred() -> None:
    """The rule to beat is the better one of "longer" and "shorter": 30 of 40 chosen answers are the shorter ones."""
    chosen, rejected = np.array([20] * 30 + [50] * 10), np.array([50] * 30 + [20] * 10)
    found = reward_quality(-chosen, -rejected, chosen, rejected)
    assert found.length_rule == "shorter" and found.longer_is_better == mean_interval([0] * 30 + [1] * 10)
    assert found.length_accuracy == found.accuracy and found.accuracy.mean == 0.75
    assert found.versus_length.difference == 0 and found.versus_length.p == 1
    assert found.sentences()[1].startswith('"The shorter answer is better" is right in 75.0 %')
    assert "is not shown: +0.0 points" in found.sentences()[1]


def test_the_difference_of_accuracies_has_newcombes_limits() -> None:
    """56 of 70 against 48 of 80: Newcombe 1998, table II, example (a), method 10: 0.0524 to 0.3339."""
    won = np.array([1] * 56 + [0] * 14 + [1] * 48 + [0] * 32)
    longer = np.array([1] * 70 + [0] * 80)
    bias = reward_quality(won, 1 - won, longer, 1 - longer).length_bias
    assert (bias.difference, bias.low, bias.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_sentences_are_whole_with_and_without_a_length_bias_to_look_at() -> None:
    assert len(simulated(200, 1, 3).sentences()) == 6
    single = reward_quality([1.0], [0.0], [5], [5])
    assert single.length_bias.correlation is None and single.length_bias.difference is None
    assert len(single.sentences()) == 4 and "1 held-out pair." in single.sentences()[0]
    better = reward_quality(np.ones(40), np.zeros(40), [1, 2] * 20, [2, 1] * 20)
    assert "the model is better than that by 50.0 points" in better.sentences()[1]
    worse = reward_quality(np.zeros(40), np.ones(40), [1, 2] * 20, [2, 1] * 20)
    assert "the model is worse than that by 50.0 points" in worse.sentences()[1]
    assert "2 ties count half" in reward_quality([1, 1, 2], [1, 1, 0], [1, 2, 3], [2, 1, 3]).sentences()[0]


def test_the_record_is_json() -> None:
    record = json.loads(json.dumps(simulated(50, 1, 4).as_dict(), allow_nan=False))
    assert set(record["accuracy"]) == {"mean", "low", "high", "n"} and len(record["calibration"]["bins"]) == 10


@pytest.mark.parametrize("columns", [
    ([], [], [], []), ([1, 2], [1], [1, 1], [1, 1]), ([1.0], [math.nan], [1], [1]), ([math.inf], [0], [1], [1]),
    ([[1]], [[1]], [[1]], [[1]]),
])  # fmt: skip
def test_what_cannot_be_judged_is_refused(columns: tuple[list[float], ...]) -> None:
    with pytest.raises(ValueError, match="must be"):
        reward_quality(*columns)
