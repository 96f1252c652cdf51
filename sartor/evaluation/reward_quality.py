"""How good a reward model is, from its rewards of held-out pairs of answers: the better (chosen) and the worse.

Is it right more often than length alone would be, are its probabilities honest, and does it pay for length?
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sartor.evaluation.statistics import Comparison, Interval, mean_interval, paired_difference

Floats = NDArray[np.float64]

NUM_BINS = 10
ALPHA = 0.05


@dataclass(frozen=True)
class CalibrationBin:
    """Pairs whose probabilities are next to each other: the mean probability that the model gives to the answer it
    prefers (`confidence`, in [0.5, 1]), and how often that answer was the chosen one."""

    confidence: float
    accuracy: Interval


@dataclass(frozen=True)
class Calibration:
    """How honest sigmoid(margin) is as the probability that the chosen answer is the better one (Bradley and Terry
    1952).

    `error` is the expected calibration error (Naeini et al. 2015): the mean over pairs of |accuracy - confidence| of
    their bin. It is above 0 by chance alone: `error_by_chance` is about what it would be in as many pairs were every
    probability right. `brier` is the mean of (1 - sigmoid(margin))^2, 0.25 for a model that knows nothing.
    """

    error: float
    error_by_chance: float
    brier: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class LengthBias:
    """Whether longer answers are paid for being longer.

    `correlation` is Spearman's, of reward and tokens over all answers, None where one of them never varies. `longer`
    and `shorter` are the accuracies on pairs whose chosen answer is the longer or the shorter one, `difference` is
    longer minus shorter with 95 % limits (Newcombe 1998, method 10: from the two intervals); None without such pairs.
    """

    correlation: float | None
    longer: Interval | None
    shorter: Interval | None
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class RewardQuality:
    """What held-out pairs say about a reward model. Accuracies are shares of pairs in which the chosen answer has the
    larger reward; equal rewards (`ties`) count half.

    `longer_is_better` is the accuracy of "the longer answer is better" on the same pairs, equal lengths count half.
    Where that is below one half, the shorter answer is the better guess: `length_rule` is the one of the two that is
    right more often here, `length_accuracy` how often, and `versus_length` the model's accuracy minus that.
    `deviation` is over all answers.
    """

    pairs: int
    ties: int
    accuracy: Interval
    longer_is_better: Interval
    length_rule: Literal["longer", "shorter"]
    length_accuracy: Interval
    versus_length: Comparison
    calibration: Calibration
    length_bias: LengthBias
    chosen_reward: float
    rejected_reward: float
    mean: float
    deviation: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentences(self) -> list[str]:
        """The same for people."""
        return [self._accuracy(), self._baseline(), self._calibration(), *self._length(), self._size()]

    def _accuracy(self) -> str:
        ties = f"; {self.ties:,} ties count half" if self.ties > 1 else "; 1 tie counts half" if self.ties else ""
        pairs = "1 held-out pair" if self.pairs == 1 else f"{self.pairs:,} held-out pairs"
        return f"The reward model prefers the chosen answer in {_share_of(self.accuracy)} of {pairs}{ties}."

    def _baseline(self) -> str:
        found = self.versus_length
        if found.p < ALPHA:
            side = "better" if found.difference > 0 else "worse"
            verdict = f"the model is {side} than that by {_points(abs(found.difference))}"
        else:
            verdict = f"that the model differs is not shown: {_points(found.difference, signed=True)}"
        numbers = f"95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}, p = {found.p:.2g}"
        rule = f'"The {self.length_rule} answer is better"'
        return f"{rule} is right in {_share_of(self.length_accuracy)}; {verdict} ({numbers})."

    def _calibration(self) -> str:
        found = self.calibration
        return (
            f"Its probabilities are off by {_points(found.error)} on average, where about "
            f"{_points(found.error_by_chance)} would be chance; the Brier score is {found.brier:.3f}, "
            "where 0.25 is to know nothing."
        )

    def _length(self) -> list[str]:
        found = self.length_bias
        lines = []
        if found.correlation is not None:
            lines.append(f"Reward and length of an answer have a rank correlation of {found.correlation:+.2f}.")
        if found.longer is not None and found.shorter is not None:
            assert found.difference is not None and found.low is not None and found.high is not None
            shown = "beyond chance" if found.low > 0 or found.high < 0 else "which may be chance"
            lines.append(
                f"It is right in {_share_of(found.longer)} where the chosen answer is longer and in "
                f"{_share_of(found.shorter)} where it is shorter: {_points(found.difference, signed=True)} "
                f"({100 * found.low:+.1f} to {100 * found.high:+.1f}), {shown}."
            )
        return lines

    def _size(self) -> str:
        return (
            f"Chosen answers have a mean reward of {self.chosen_reward:.3g}, rejected ones of "
            f"{self.rejected_reward:.3g}; all have mean {self.mean:.3g} and standard deviation {self.deviation:.3g}."
        )


def reward_quality(
    chosen: ArrayLike, rejected: ArrayLike, chosen_tokens: ArrayLike, rejected_tokens: ArrayLike
) -> RewardQuality:
    """Judge rewards [N] of the chosen and the rejected answers of N held-out pairs, and their lengths in tokens [N].

    Intervals and tests take pairs as independent. ValueError for no pair, unequal lengths or a number that is not
    finite.
    """
    good, bad, good_tokens, bad_tokens = _checked(chosen, rejected, chosen_tokens, rejected_tokens)
    right, longer = _wins(good, bad), _wins(good_tokens, bad_tokens)
    length_rule: Literal["longer", "shorter"] = "longer" if longer.mean() >= 0.5 else "shorter"
    by_length = longer if length_rule == "longer" else 1 - longer
    answers = np.concatenate([good, bad])
    correlation = spearman(answers, np.concatenate([good_tokens, bad_tokens]))
    return RewardQuality(
        pairs=len(good),
        ties=int((good == bad).sum()),
        accuracy=mean_interval(right),
        longer_is_better=mean_interval(longer),
        length_rule=length_rule,
        length_accuracy=mean_interval(by_length),
        versus_length=paired_difference(right, by_length),
        calibration=_calibration(good - bad, right),
        length_bias=_length_bias(correlation, right[longer == 1], right[longer == 0]),
        chosen_reward=float(good.mean()),
        rejected_reward=float(bad.mean()),
        mean=float(answers.mean()),
        deviation=float(answers.std(ddof=1)),
    )


def spearman(a: ArrayLike, b: ArrayLike) -> float | None:
    """Rank correlation of `a` [N] and `b` [N], ties at their mean rank (Spearman 1904); None where one of them never
    varies."""
    ours, theirs = _ranks(np.asarray(a, np.float64)), _ranks(np.asarray(b, np.float64))
    ours, theirs = ours - ours.mean(), theirs - theirs.mean()
    scale = math.sqrt(float((ours**2).sum()) * float((theirs**2).sum()))
    return float((ours * theirs).sum()) / scale if scale else None


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, equal values at the mean of the ranks that they take up."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def _checked(*columns: ArrayLike) -> list[Floats]:
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    if any(array.ndim != 1 or array.shape != arrays[0].shape or not array.size for array in arrays):
        raise ValueError(f"rewards and tokens must be of the same pairs, at least one: {[a.shape for a in arrays]}")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("rewards and tokens must be finite")
    return arrays


def _wins(ours: Floats, theirs: Floats) -> Floats:
    """1 where `ours` is larger, 0.5 where both are equal, 0 where it is smaller."""
    return (1 + np.sign(ours - theirs)) / 2


def _calibration(margins: Floats, right: Floats) -> Calibration:
    """margins [N], right [N] in {0, 0.5, 1}.

    Bins hold equally many pairs, but equal probabilities are never divided, so that the order of pairs does not matter.
    """
    confidence = 1 / (1 + np.exp(-np.abs(margins)))
    order = np.argsort(confidence, kind="stable")
    confidence, right_in_order, num_pairs = confidence[order], right[order], len(order)
    even = np.arange(min(NUM_BINS, num_pairs)) * num_pairs // min(NUM_BINS, num_pairs)
    starts = np.unique(np.searchsorted(confidence, confidence[even]))[1:]
    parts = list(zip(np.split(confidence, starts), np.split(right_in_order, starts), strict=True))
    bins = tuple(CalibrationBin(float(said.mean()), mean_interval(seen)) for said, seen in parts)
    # The mean deviation of a sum of independent coins, near enough normal, is its standard deviation times sqrt(2/pi).
    by_chance = sum(math.sqrt(2 / math.pi * float((said * (1 - said)).sum())) for said, _ in parts)
    error = sum(each.accuracy.n * abs(each.accuracy.mean - each.confidence) for each in bins)
    missing = np.where(right_in_order > 0, 1 - confidence, confidence)  # 1 - sigmoid(margin); 0.5 for a tie
    return Calibration(error / num_pairs, by_chance / num_pairs, float((missing**2).mean()), bins)


def _length_bias(correlation: float | None, when_longer: Floats, when_shorter: Floats) -> LengthBias:
    longer = mean_interval(when_longer) if len(when_longer) else None
    shorter = mean_interval(when_shorter) if len(when_shorter) else None
    if longer is None or shorter is None:
        return LengthBias(correlation, longer, shorter, None, None, None)
    difference = longer.mean - shorter.mean
    low = difference - math.hypot(longer.mean - longer.low, shorter.high - shorter.mean)
    high = difference + math.hypot(longer.high - longer.mean, shorter.mean - shorter.low)
    return LengthBias(correlation, longer, shorter, difference, low, high)


def _share_of(found: Interval) -> str:
    return f"{100 * found.mean:.1f} % (95 % interval {100 * found.low:.1f} to {100 * found.high:.1f})"


def _points(share: float, signed: bool = False) -> str:
    return f"{100 * share:{'+' if signed else ''}.1f} points"
