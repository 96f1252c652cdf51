"""Learning what good texts are from examples, and measuring on held-out ones how well it was learnt.

Everything is deterministic: no random number is drawn, and folds go by the texts' own hashes.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sartor.base.errors import DataError
from sartor.data.documents import TEXT
from sartor.data.filters.quality import HeldOut, Measured, QualityModel
from sartor.data.filters.quality_features import NUM_BUCKETS, Features, features_of

FOLDS = 5
MIN_EXAMPLES = 20
PENALTY = 1e-5  # of the squared weights, beside the mean loss of a row
MAX_ITERATIONS = 100
SMALL_GRADIENT = 1e-3
CONFIDENCE_Z = 1.959964
CALIBRATION_CLASSES = 10

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    weights: Numbers
    bias: float

    def logits(self, features: Features) -> Numbers:
        return features.products(self.weights.astype(np.float32)) + self.bias


def train_quality(good: Sequence[str], other: Sequence[str]) -> QualityModel:
    """A classifier that tells `good` texts from `other` ones, calibrated and measured by cross-validation.

    Texts that are in both count as good; a text counts once. DataError for fewer than MIN_EXAMPLES of either.
    """
    good = list(dict.fromkeys(good))
    known = set(good)
    other = [text for text in dict.fromkeys(other) if text not in known]
    for name, texts in (("good", good), ("other", other)):
        if len(texts) < MIN_EXAMPLES:
            hint = f"give at least {MIN_EXAMPLES} different ones; a few hundred serve well"
            raise DataError(f"only {len(texts)} {name} texts to learn quality from", hint=hint)
    texts = [*good, *other]
    features, used = features_of(pa.chunked_array([pa.array(texts, TEXT)])).compact()
    labels = np.repeat([1.0, 0.0], [len(good), len(other)])
    weights = _balanced(labels)
    logits = _held_out_logits(features, labels, _folds(texts))
    slope, intercept = _calibrate(logits, labels, weights)
    final = fit(features, labels, weights)
    weights_of_buckets = np.zeros(NUM_BUCKETS, np.float32)
    weights_of_buckets[used] = final.weights * slope
    return QualityModel(
        weights_of_buckets,
        final.bias * slope + intercept,
        measure(slope * logits + intercept, labels),
    )


def fit(features: Features, labels: Numbers, row_weights: Numbers) -> Fit:
    """Penalised logistic regression by accelerated gradient descent (Nesterov 1983, with restarts).

    `row_weights` [rows] sum to one. The step is one over the largest curvature there can be.
    """
    weights, bias = np.zeros(features.num_buckets), 0.0
    ahead, ahead_bias, momentum = weights, bias, 1.0
    step = 1 / (0.25 * (_largest_square(features) + 1) + PENALTY)
    for _ in range(MAX_ITERATIONS):
        residuals = row_weights * (_sigmoid(features.products(ahead.astype(np.float32)) + ahead_bias) - labels)
        gradient, bias_gradient = features.transposed_products(residuals) + PENALTY * ahead, float(residuals.sum())
        new, new_bias = ahead - step * gradient, ahead_bias - step * bias_gradient
        if math.sqrt(float(gradient @ gradient) + bias_gradient**2) < SMALL_GRADIENT:
            return Fit(new, new_bias)
        uphill = float(gradient @ (new - weights)) + bias_gradient * (new_bias - bias) > 0
        next_momentum = 1.0 if uphill else (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        push = 0.0 if uphill else (momentum - 1) / next_momentum
        ahead, ahead_bias = new + push * (new - weights), new_bias + push * (new_bias - bias)
        weights, bias, momentum = new, new_bias, next_momentum
    return Fit(weights, bias)


def measure(logits: Numbers, labels: Numbers) -> HeldOut:
    """AUC with DeLong's interval (1988), balanced accuracy with a normal one, and the calibration error."""
    good, other = logits[labels == 1], logits[labels == 0]
    right_good, right_other = (good > 0).mean(), (other <= 0).mean()
    deviation = (
        math.sqrt(_proportion_variance(right_good, len(good)) + _proportion_variance(right_other, len(other))) / 2
    )
    accuracy = (right_good + right_other) / 2
    return HeldOut(
        len(good),
        len(other),
        _auc(good, other),
        _interval(accuracy, deviation),
        _calibration_error(_sigmoid(logits), labels),
    )


def _auc(good: Numbers, other: Numbers) -> Measured:
    """How often a good text scores above another one; ties count half."""
    above_other = _shares_below(other, good)
    below_good = 1 - _shares_below(good, other)
    variance = above_other.var(ddof=1) / len(good) + below_good.var(ddof=1) / len(other)
    # Where all are told apart the variance is 0; that three in n would go unseen keeps the interval honest.
    auc = float(above_other.mean())
    smallest = 3 / min(len(good), len(other)) / CONFIDENCE_Z if auc in (0.0, 1.0) else 0.0
    return _interval(auc, max(math.sqrt(variance), smallest))


def _shares_below(values: Numbers, limits: Numbers) -> Numbers:
    """For each limit the share of the values below it, those equal to it counting half."""
    values = np.sort(values)
    return (np.searchsorted(values, limits, "left") + np.searchsorted(values, limits, "right")) / (2 * len(values))


def _proportion_variance(share: float, n: int) -> float:
    """With two successes and two failures added (Agresti and Coull 1998), so that it is never 0."""
    adjusted = (share * n + 2) / (n + 4)
    return adjusted * (1 - adjusted) / (n + 4)


def _interval(value: float, deviation: float) -> Measured:
    low, high = value - CONFIDENCE_Z * deviation, value + CONFIDENCE_Z * deviation
    return Measured(float(value), float(max(0.0, low)), float(min(1.0, high)))


def _calibration_error(scores: Numbers, labels: Numbers) -> float:
    classes = np.minimum((scores * CALIBRATION_CLASSES).astype(int), CALIBRATION_CLASSES - 1)
    weights = _balanced(labels)
    error = 0.0
    for number in np.unique(classes):
        inside = classes == number
        error += abs(float((weights[inside] * (scores[inside] - labels[inside])).sum()))
    return error


def _held_out_logits(features: Features, labels: Numbers, folds: npt.NDArray[np.int64]) -> Numbers:
    """Each row's logit by a model that has not seen it."""
    logits = np.zeros(len(labels))
    for fold in range(FOLDS):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        learnt = fit(features.take(outside), labels[outside], _balanced(labels[outside]))
        logits[inside] = learnt.logits(features.take(inside))
    return logits


def _folds(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.array([int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % FOLDS for text in texts])


def _balanced(labels: Numbers) -> Numbers:
    """Weights of rows that sum to one, half of it for either label."""
    good = labels.sum()
    return np.where(labels == 1, 0.5 / max(good, 1), 0.5 / max(len(labels) - good, 1))


def _calibrate(logits: Numbers, labels: Numbers, weights: Numbers) -> tuple[float, float]:
    """Slope and intercept that make held-out logits probabilities (Platt 1999), by Newton's method.

    Platt's targets, a little inside 0 and 1, keep the slope finite where all texts are told apart.
    """
    good = labels.sum()
    targets = np.where(labels == 1, (good + 1) / (good + 2), 1 / (len(labels) - good + 2))
    slope, intercept = 1.0, 0.0
    inputs = np.stack([logits, np.ones_like(logits)])
    for _ in range(50):
        scores = _sigmoid(slope * logits + intercept)
        gradient = inputs @ (weights * (scores - targets))
        curvature = (inputs * (weights * scores * (1 - scores))) @ inputs.T + 1e-9 * np.eye(2)
        change = np.linalg.solve(curvature, gradient)
        change *= min(1.0, 5 / max(np.abs(change).max(), 1e-12))
        slope, intercept = slope - change[0], intercept - change[1]
        if np.abs(change).max() < 1e-9:
            break
    return float(slope), float(intercept)


def _largest_square(features: Features) -> float:
    """The largest squared length of a row, a bucket that it has several times counted together."""
    largest = 0.0
    for row in range(len(features.values)):
        counts = np.unique(features.buckets[features.first[row] : features.first[row + 1]], return_counts=True)[1]
        largest = max(largest, float((counts.astype(np.float64) ** 2).sum()) * float(features.values[row]) ** 2)
    return largest


def _sigmoid(values: Numbers) -> Numbers:
    return 1 / (1 + np.exp(-np.clip(values, -500, 500)))
