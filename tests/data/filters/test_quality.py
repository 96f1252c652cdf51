"""The quality classifier: learns, is deterministic, is measured honestly, and judges a text alone as in a crowd."""

import json

import numpy as np
import pyarrow as pa
import pytest

from sartor.base.errors import DataError, UsageError
from sartor.data.documents import TEXT, documents_table
from sartor.data.filters.quality import Quality, load_quality
from sartor.data.filters.quality_features import features_of
from sartor.data.filters.quality_training import measure, train_quality

GOOD_WORDS = "theorem proof lemma integral measure space bounded function converges limit"
OTHER_WORDS = "buy cheap click offer discount sale now free shipping winner"
COMMON = "the a of and is in to with for on"


def texts(words: str, share: float, count: int, seed: int) -> list[str]:
    """Texts of 60 words, of which this share is of `words`."""
    random = np.random.default_rng(seed)
    return [
        " ".join(random.choice((words if random.random() < share else COMMON).split()) for _ in range(60))
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def examples() -> tuple[list[str], list[str]]:
    return texts(GOOD_WORDS, 0.3, 80, 1), texts(OTHER_WORDS, 0.3, 120, 2)


@pytest.fixture(scope="module")
def model(examples):
    return train_quality(*examples)


def column(values: list[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, TEXT)])


def test_it_tells_new_texts_apart(model):
    good = model.scores(column(texts(GOOD_WORDS, 0.3, 30, 3)))
    other = model.scores(column(texts(OTHER_WORDS, 0.3, 30, 4)))
    assert good.min() > 0.5 > other.max()
    assert model.held_out.auc.low > 0.9 and model.held_out.accuracy.low > 0.9
    assert (model.held_out.num_good, model.held_out.num_other) == (80, 120)


def test_texts_of_one_kind_cannot_be_told_apart():
    found = []
    for seed in range(4):
        same = texts(GOOD_WORDS, 0.3, 200, seed)
        found.append(train_quality(same[:100], same[100:]).held_out)
    assert 0.42 < np.mean([held_out.auc.value for held_out in found]) < 0.58
    assert np.mean([held_out.calibration_error for held_out in found]) < 0.15


def test_learning_is_deterministic_and_survives_the_disk(model, examples, tmp_path):
    again = train_quality(*examples)
    assert np.array_equal(again.weights, model.weights) and again.bias == model.bias
    model.save(tmp_path / "quality")
    loaded = load_quality(tmp_path / "quality")
    assert np.array_equal(loaded.weights, model.weights)
    assert (loaded.bias, loaded.held_out) == (model.bias, model.held_out)


def test_any_cut_gives_the_same_scores(model, examples):
    all_texts = ["", *examples[0], "", *examples[1], " "]
    whole = model.scores(column(all_texts))
    for size in (1, 3, 50):
        parts = [model.scores(column(all_texts).slice(start, size)) for start in range(0, len(all_texts), size)]
        assert np.array_equal(np.concatenate(parts), whole)


def test_features_are_words_and_pairs_within_a_text():
    features = features_of(column(["a b c", "", "c a b"]))
    assert np.diff(features.first).tolist() == [5, 0, 5]
    first, last = features.buckets[:5], features.buckets[5:]
    assert len(set(first) & set(last)) == 4, "a, b, c and the pair a b"
    weights = np.random.default_rng(0).standard_normal(features.num_buckets).astype(np.float32)
    expected = weights[first].astype(float).sum() / np.sqrt(5)
    assert features.products(weights)[0] == pytest.approx(expected, rel=1e-6)
    rows = np.array([1.0, 2.0, 3.0])
    assert features.transposed_products(rows) @ weights == pytest.approx(rows @ features.products(weights), rel=1e-6)


def test_measures_by_hand():
    held_out = measure(np.array([2.0, 1.0, -1.0, 0.5, -2.0, -3.0]), np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]))
    assert held_out.auc.value == pytest.approx(8 / 9)
    assert held_out.accuracy.value == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_the_step_drops_below_the_threshold(model, examples, tmp_path):
    model.save(tmp_path / "quality")
    rows = documents_table(
        {"id": str(i), "text": t, "source": ""} for i, t in enumerate([*examples[0][:5], *examples[1][:5]])
    )
    outcome = Quality(str(tmp_path / "quality"), 0.5)(rows)
    assert outcome.documents.equals(rows)
    assert outcome.reasons.to_pylist() == [None] * 5 + ["quality_below_threshold"] * 5


def test_what_cannot_be_used_is_refused(model, examples, tmp_path):
    with pytest.raises(DataError, match="only 1 good"):
        train_quality(examples[0][:1] * 50, examples[1])
    with pytest.raises(UsageError):
        Quality("x", 2)
    with pytest.raises(DataError):
        load_quality(tmp_path)
    model.save(tmp_path / "old")
    described = json.loads((tmp_path / "old" / "quality.json").read_text())
    (tmp_path / "old" / "quality.json").write_text(json.dumps(described | {"max_words": 5}))
    with pytest.raises(DataError, match="another version"):
        load_quality(tmp_path / "old")
