"""How far a scorer agrees with people, and what its scores would be if people had scored every answer.

A few answers are labelled by hand. They are drawn unequally (as many of every path, as many that the scorer calls right
as wrong), so each counts with the number of answers it stands for, within its stratum.

*Agreement* is the share of answers that scorer and people call the same, and Cohen's kappa (1960) how far that is above
what their leanings alone would give.

A *corrected score* is what people would give on average. Within each stratum of a path (those the scorer calls right,
those it calls wrong) the labels say how often people call an answer right, and every answer has a stratum:

    corrected = sum over strata of (share of the path's answers) x (mean label)

For a scorer that says right or wrong this is stratified prediction-powered inference (Angelopoulos et al. 2023, arXiv
2301.09633; strata: Fisch et al. 2024, arXiv 2406.04291) and the estimator of Rogan and Gladen (1978) in its predictive
form: without bias whatever the scorer does, only wider the worse it is. The interval joins Wilson's intervals of the
strata by their distances from the estimates (Zou and Donner 2008, Stat. Med. 27, 1693-1702), which holds for a dozen
labels where a normal approximation does not, and adds the variance of the strata's shares in the answers there are;
Student's quantile for the normal one pays for few labels.
"""

import math
from collections.abc import Hashable, Sequence
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


def confusion(scores: Floats, labels: Floats, weights: Floats) -> Confusion:
    """Over labelled answers; `weights` of 1 count them, other weights say how many each stands for."""
    people, scorer = labels >= RIGHT_FROM, scores >= RIGHT_FROM
    return Confusion(*(float(weights[p & s].sum()) for p, s in (
        (people, scorer), (people, ~scorer), (~people, scorer), (~people, ~scorer))))  # fmt: skip


def strata_of(paths: Sequence[Hashable], scores: Floats) -> list[tuple[Hashable, bool]]:
    """The stratum of each answer: its path, and whether the scorer calls it right."""
    return [(path, bool(score >= RIGHT_FROM)) for path, score in zip(paths, scores, strict=True)]


def weights_of(strata: Sequence[Hashable], labelled: NDArray[np.bool_]) -> Floats:
    """How many answers of its stratum each labelled one stands for; 0 for those without a label."""
    of = {stratum: number for number, stratum in enumerate(dict.fromkeys(strata))}
    index = np.array([of[stratum] for stratum in strata])
    sizes = np.bincount(index, minlength=len(of)).astype(np.float64)
    known = np.bincount(index, labelled, minlength=len(of))
    return np.where(labelled, sizes[index] / np.maximum(known, 1)[index], 0.0)


def weighted_rate(values: Floats, weights: Floats, confidence: float = CONFIDENCE) -> Interval:
    """The weighted mean of values in [0, 1] with Wilson's interval at Kish's effective number of values,
    (sum of weights)^2 / sum of squares (Kish 1965, Survey Sampling, 11.7)."""
    total = float(weights.sum())
    mean = float((values * weights).sum() / total)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    low, high = _wilson(mean, total**2 / float((weights**2).sum()), z)
    return Interval(mean, low, high, len(values))


def corrected_scores(
    paths: Sequence[Hashable], scores: Floats, labels: Floats, confidence: float = CONFIDENCE
) -> dict[Hashable, Corrected]:
    """The corrected score of each path. `scores` has no gaps; `labels` are NaN where nobody labelled an answer."""
    found = {}
    for path in dict.fromkeys(paths):
        own = np.array([each == path for each in paths])
        found[path] = _corrected(scores[own], labels[own], scores, labels, confidence)
    return found


def _corrected(scores: Floats, labels: Floats, all_scores: Floats, all_labels: Floats, confidence: float) -> Corrected:
    shares, rates, pooled = [], [], False
    for right in (True, False):
        here = (scores >= RIGHT_FROM) == right
        if not here.any():
            continue
        known = labels[here & ~np.isnan(labels)]
        if len(known) < min(FEWEST_OWN_LABELS, here.sum()):
            known, pooled = all_labels[((all_scores >= RIGHT_FROM) == right) & ~np.isnan(all_labels)], True
        shares.append(float(here.mean()))
        rates.append(known)
    n, labelled, mean = len(scores), int((~np.isnan(labels)).sum()), float(scores.mean())
    if any(len(known) == 0 for known in rates):
        return Corrected(mean, None, None, None, n, labelled, pooled)
    estimate, low, high = joined_strata(shares, rates, n, confidence)
    return Corrected(mean, estimate, low, high, n, labelled, pooled)


def joined_strata(
    shares: Sequence[float], labels: Sequence[Floats], n: int, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """The mean label of `n` answers and its limits, from labels in strata that have these `shares` of the answers."""
    degrees = max(sum(len(known) for known in labels) - len(labels), 1)
    quantile = student_quantile((1 + confidence) / 2, degrees)
    rates = [float(known.mean()) for known in labels]
    estimate = sum(share * rate for share, rate in zip(shares, rates, strict=True))
    between = sum(share * (rate - estimate) ** 2 for share, rate in zip(shares, rates, strict=True))
    below = above = quantile**2 * between / n
    for share, rate, known in zip(shares, rates, labels, strict=True):
        low, high = _wilson(rate, len(known), quantile)
        below += (share * (rate - low)) ** 2
        above += (share * (high - rate)) ** 2
    return estimate, max(estimate - math.sqrt(below), 0.0), min(estimate + math.sqrt(above), 1.0)


def _wilson(rate: float, n: float, z: float) -> tuple[float, float]:
    stretch = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / stretch
    half = z * math.sqrt(rate * (1 - rate) / n + (z / (2 * n)) ** 2) / stretch
    return min(max(centre - half, 0.0), rate), max(min(centre + half, 1.0), rate)
