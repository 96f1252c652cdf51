"""A classifier of quality, and the step that keeps what it finds like the texts that the user calls good.

It is a logistic regression on hashed words and pairs of words, learnt in `quality_training.py`. Heuristics drop few of
the pages that people call bad; a small classifier learnt from examples is where most of the value was found (DCLM,
2406.11794, used fastText on the same features).
"""

import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from sartor.base.durable import file_sha256, replace_folder
from sartor.base.errors import DataError, UsageError
from sartor.data.documents import TEXT
from sartor.data.filters.quality_features import MAX_WORDS, NUM_BUCKETS, Floats, features_of
from sartor.data.filters.step import Outcome

FORMAT = 1
WEIGHTS, DESCRIPTION = "quality.safetensors", "quality.json"


@dataclass(frozen=True)
class Measured:
    """A figure on texts that were not learnt from, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class HeldOut:
    """How well texts are told apart that were not learnt from (cross-validated).

    `auc`: how often a good text scores above another one. `accuracy`: at the score 0.5, both kinds counting the same.
    `calibration_error`: how far scores are from the share of good texts that have them, on average over ten classes.
    """

    num_good: int
    num_other: int
    auc: Measured
    accuracy: Measured
    calibration_error: float


@dataclass(frozen=True)
class QualityModel:
    """Weights [NUM_BUCKETS] and bias; the score of a text is sigmoid(features x weights + bias).

    The score is the probability of being a good text where good and other texts are equally frequent.
    """

    weights: Floats
    bias: float
    held_out: HeldOut

    def scores(self, texts: pa.ChunkedArray) -> npt.NDArray[np.float64]:
        """The score (0..1) of each text; the same whatever other texts are in the column."""
        return 1 / (1 + np.exp(-(features_of(texts).products(self.weights) + self.bias)))

    def save(self, folder: Path) -> None:
        """Write `quality.safetensors` and `quality.json` into a folder, which is replaced."""
        weights = save({"weights": self.weights})
        description = {
            "format": FORMAT,
            "num_buckets": NUM_BUCKETS,
            "max_words": MAX_WORDS,
            "bias": self.bias,
            "held_out": asdict(self.held_out),
        }
        replace_folder(folder, {WEIGHTS: weights, DESCRIPTION: json.dumps(description, indent=2) + "\n"})


def load_quality(folder: Path) -> QualityModel:
    """The model in a folder. DataError where there is none, or one that this version cannot use."""
    hint = "train it again from good texts"
    try:
        described = json.loads((folder / DESCRIPTION).read_text())
        weights = load_file(folder / WEIGHTS)["weights"]
        measured = described["held_out"]
        held_out = HeldOut(**measured | {name: Measured(**measured[name]) for name in ("auc", "accuracy")})
        settings = (described["format"], described["num_buckets"], described["max_words"])
        bias = float(described["bias"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(f"not a readable quality classifier: {error}", where=str(folder), hint=hint) from error
    if settings != (FORMAT, NUM_BUCKETS, MAX_WORDS) or weights.shape != (NUM_BUCKETS,) or weights.dtype != np.float32:
        raise DataError("the quality classifier is of another version", where=str(folder), hint=hint)
    return QualityModel(weights, bias, held_out)


@dataclass(frozen=True)
class Quality:
    """Step: drops documents that the classifier in folder `model` scores below `min_score`.

    Its reason is `quality_below_threshold`.
    """

    model: str
    min_score: float

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise UsageError(f"a quality score lies between 0 and 1, not {self.min_score}", hint="for instance 0.5")

    @property
    def name(self) -> str:
        return "quality"

    def __call__(self, documents: pa.Table) -> Outcome:
        folder = Path(self.model)
        scores = _loaded(folder, file_sha256(folder / WEIGHTS)).scores(documents["text"])
        reasons = ["quality_below_threshold" if score < self.min_score else None for score in scores]
        return Outcome(documents, pa.array(reasons, TEXT))


@functools.lru_cache(maxsize=2)
def _loaded(folder: Path, sha256: str) -> QualityModel:
    """The model with these very weights, loaded once a process."""
    return load_quality(folder)
