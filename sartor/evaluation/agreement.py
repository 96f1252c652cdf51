"""How far a scorer agrees with people, and what its scores would be if people had scored every answer.

A few answers are labelled by hand. They are drawn unequally (as many of every path, as many that the scorer calls right
as wrong, and what several paths answered only once), so each counts with the number of answers it stands for, the
inverse of its chance of being drawn, made to add up within its stratum (a path, and what the scorer calls its answers).

*Agreement* is the share of answers that scorer and people call the same, and Cohen's kappa (1960) how far that is above
what their leanings alone would give.

A *corrected score* is what people would give on average. Within each stratum of a path (those the scorer calls right,
those it calls wrong) the labels say how often people call an answer right, and every answer has a stratum:

    corrected = sum over strata of (share of the path's answers) x (weighted mean label)

For a scorer that says right or wrong this is stratified prediction-powered inference (Angelopoulos et al. 2023, arXiv
2301.09633; strata: Fisch et al. 2024, arXiv 2406.04291) and the estimator of Rogan and Gladen (1978) in its predictive
form: without bias whatever the scorer does (but for that of a ratio, which many labels make vanish: Hájek 1971), only
wider the worse it is. The interval joins Wilson's intervals of the
strata by their distances from the estimates (Zou and Donner 2008, Stat. Med. 27, 1693-1702), which holds for a dozen
labels where a normal approximation does not, and adds the variance of the strata's shares in the answers there are;
Student's quantile for the normal one pays for few labels, and Kish's effective number (1965, Survey Sampling, 11.7)
for unequal weights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sartor.evaluation.statistics import Floats, Interval, student_quantile

RIGHT_FROM = 0.5  # a score or label of a half or more counts as right
FEWEST_OWN_LABELS = 5  # in each stratum of a path, for its score to be corrected by its own labels
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Confusion:
    """How many answers people (first word) and the scorer (second) call right or wrong: counts, or what these stand
    for."""

    right_right: float
    right_wrong: float
    wrong_right: float
    wrong_wrong: float

    @property
    def total(self) -> float:
        return self.right_right + self.right_wrong + self.wrong_right + self.wrong_wrong

    @property
    def kappa(self) -> float | None:
        """None where people and scorer both know one word only, so that chance alone explains everything."""
        n = self.total
        people, scorer = self.right_right + self.right_wrong, self.right_right + self.wrong_right
        chance = (people * scorer + (n - people) * (n - scorer)) / n**2
        return None if chance > 1 - 1e-12 else ((self.right_right + self.wrong_wrong) / n - chance) / (1 - chance)


@dataclass(frozen=True)
class Sample:
    """Answers that a scorer scored, each a place in every column: its path, its key (the same for the same text to the
    same question, so that one label holds for all), its score, its label (NaN where nobody gave one), and how many
    answers that differ its label stands for (0 without one)."""

    paths: Sequence[str]
    keys: Sequence[str]
    scores: Floats
    labels: Floats
    stands_for: Floats

    @property
    def called_right(self) -> NDArray[np.bool_]:
        return self.scores >= RIGHT_FROM

    @property
    def labelled(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.labels)


@dataclass(frozen=True)
class Corrected:
    """A path's score as the scorer gives it, and as people would: `n` answers, of which `labelled` have a label.

    `estimate` is None where a stratum has no label at all. `pooled` says that the labels of all paths were taken
    together, because the path has too few of its own: it assumes that the scorer errs alike on every path.
    """

    scorer: float
    estimate: float | None
    low: float | None
    high: float | None
    n: int
    labelled: int
    pooled: bool


@dataclass(frozen=True)
class Rate:
    """A weighted mean of labels, and how many labels of equal weight would be as sure."""

    mean: float
    n: float

    @staticmethod
    def of(labels: Floats, weights: Floats) -> "Rate":
        return Rate(float(np.average(labels, weights=weights)), _effective(weights))


def confusion(scores: Floats, labels: Floats, weights: Floats) -> Confusion:
    """Over labelled answers; `weights` of 1 count them, other weights say how many each stands for."""
    people, scorer = labels >= RIGHT_FROM, scores >= RIGHT_FROM
    return Confusion(*(float(weights[p & s].sum()) for p, s in (
        (people, scorer), (people, ~scorer), (~people, scorer), (~people, ~scorer))))  # fmt: skip


def weights_of(sample: Sample) -> Floats:
    """How many answers of its stratum each labelled one stands for; 0 for those without a label. Within a stratum that
    has a label they sum to its size."""
    of: dict[tuple[str, bool], int] = {}
    strata = zip(sample.paths, sample.called_right.tolist(), strict=True)
    index = np.array([of.setdefault(stratum, len(of)) for stratum in strata], dtype=np.int64)
    sizes = np.bincount(index, minlength=len(of)).astype(np.float64)
    known = np.bincount(index, sample.stands_for, minlength=len(of))
    scale = np.divide(sizes, known, out=np.zeros_like(sizes), where=known > 0)
    return np.asarray(sample.stands_for * scale[index], dtype=np.float64)


def weighted_rate(values: Floats, weights: Floats, keys: Sequence[str], confidence: float = CONFIDENCE) -> Interval:
    """The weighted mean of values in [0, 1] with Wilson's interval at their effective number. Values of one key rest on
    one label and count as one."""
    _, place = np.unique(np.asarray(keys), return_inverse=True)
    of_keys = np.bincount(place, weights).astype(np.float64)
    mean, z = float(np.average(values, weights=weights)), NormalDist().inv_cdf((1 + confidence) / 2)
    low, high = _wilson(mean, _effective(of_keys), z)
    return Interval(mean, low, high, len(of_keys))


def corrected_scores(sample: Sample, confidence: float = CONFIDENCE) -> dict[str, Corrected]:
    """The corrected score of each path."""
    of_path = np.asarray(sample.paths)
    return {path: _corrected(sample, of_path == path, confidence) for path in dict.fromkeys(sample.paths)}


def _corrected(sample: Sample, own: NDArray[np.bool_], confidence: float) -> Corrected:
    shares, rates, pooled = [], [], False
    n, labelled, mean = int(own.sum()), int((own & sample.labelled).sum()), float(sample.scores[own].mean())
    for right in (True, False):
        alike = sample.called_right == right
        here = own & alike
        if not here.any():
            continue
        known = np.flatnonzero(here & sample.labelled)
        if len(known) < min(FEWEST_OWN_LABELS, here.sum()):
            known, pooled = _once(np.flatnonzero(alike & sample.labelled), sample.keys), True
        if not len(known):
            return Corrected(mean, None, None, None, n, labelled, True)
        shares.append(float(here.sum()) / n)
        rates.append(Rate.of(sample.labels[known], sample.stands_for[known]))
    estimate, low, high = joined_strata(shares, rates, n, confidence)
    return Corrected(mean, estimate, low, high, n, labelled, pooled)


def _once(places: NDArray[np.int64], keys: Sequence[str]) -> NDArray[np.int64]:
    """The first of these places for each key: its one label is one, however many paths gave the answer."""
    return np.array(list({keys[place]: place for place in reversed(places.tolist())}.values()), dtype=np.int64)


def _effective(weights: Floats) -> float:
    """Kish's effective number: (sum of weights)^2 / sum of squares."""
    return float(weights.sum()) ** 2 / float((weights**2).sum())


def joined_strata(
    shares: Sequence[float], rates: Sequence[Rate], n: int, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """The mean label of `n` answers and its limits, from those of strata that have these `shares` of the answers."""
    degrees = max(int(sum(rate.n for rate in rates)) - len(rates), 1)
    quantile = student_quantile((1 + confidence) / 2, degrees)
    estimate = sum(share * rate.mean for share, rate in zip(shares, rates, strict=True))
    between = sum(share * (rate.mean - estimate) ** 2 for share, rate in zip(shares, rates, strict=True))
    below = above = quantile**2 * between / n
    for share, rate in zip(shares, rates, strict=True):
        low, high = _wilson(rate.mean, rate.n, quantile)
        below += (share * (rate.mean - low)) ** 2
        above += (share * (high - rate.mean)) ** 2
    return estimate, max(estimate - math.sqrt(below), 0.0), min(estimate + math.sqrt(above), 1.0)


def _wilson(rate: float, n: float, z: float) -> tuple[float, float]:
    stretch = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / stretch
    half = z * math.sqrt(rate * (1 - rate) / n + (z / (2 * n)) ** 2) / stretch
    return min(max(centre - half, 0.0), rate), max(min(centre + half, 1.0), rate)
