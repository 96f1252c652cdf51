"""Agreement in a band has the probability that the formula says, and nothing depends on the texts beside."""

import numpy as np
import pytest
from scipy.stats import binomtest

from sartor.data.duplicates import minhash as module
from sartor.data.duplicates.minhash import MinHash, band_hashes
from tests.data.duplicates.planted import SIMILARITIES, jaccard, planted_pair

PAIRS = 1500
UNLIKELY = 1e-4  # a false alarm in 10,000 draws of the seeds; the draw is fixed


def agreements(similarity: float, settings: MinHash, seed: int) -> np.ndarray:
    """bool[pairs, bands]"""
    generator = np.random.default_rng(seed)
    texts = [text for _ in range(PAIRS) for text in planted_pair(generator, similarity)]
    _, bands = band_hashes(texts, settings)
    return bands[::2] == bands[1::2]


def test_planted_pairs_have_their_similarity() -> None:
    for similarity in SIMILARITIES:
        assert jaccard(*planted_pair(np.random.default_rng(0), similarity)) == pytest.approx(similarity, abs=1e-12)


@pytest.mark.parametrize(("similarity", "published"), [(0.7, 0.565), (0.75, 0.772), (0.8, 0.924), (0.85, 0.988)])
def test_recall_is_that_of_the_formula(similarity: float, published: float) -> None:
    settings = MinHash()
    assert settings.probability(similarity) == pytest.approx(published, abs=5e-4)
    found = int(agreements(similarity, settings, seed=3).any(axis=1).sum())
    assert binomtest(found, PAIRS, settings.probability(similarity)).pvalue > UNLIKELY


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_single_hashes_agree_with_the_similarity(seed: int) -> None:
    """Bands of one hash: each agrees with probability s, and they do not move together more than chance allows."""
    settings = MinHash(bands=112, band_hashes=1, seed=seed)
    agree = agreements(0.75, settings, seed=7)
    assert agree.mean() == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / agree.size))
    spread = agree.mean(axis=1).var()
    assert spread == pytest.approx(0.75 * 0.25 / 112, rel=0.15)


def test_unrelated_texts_never_agree() -> None:
    generator = np.random.default_rng(0)
    vocabulary = [f"word{number}" for number in range(2000)]
    texts = [" ".join(generator.choice(vocabulary, 120)) for _ in range(3000)]
    _, bands = band_hashes(texts, MinHash())
    assert all(len(np.unique(band)) == len(texts) for band in bands.T)


def test_a_text_has_the_same_bands_in_any_company(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    texts = [
        "too short to compare",
        *planted_pair(generator, 0.8),
        "",
        "Größe 漢字 " * 3,
        planted_pair(generator, 0.7)[0],
    ]
    signed, bands = band_hashes(texts, MinHash())
    assert signed.tolist() == [1, 2, 4, 5]
    alone = np.concatenate([band_hashes([text], MinHash())[1] for text in texts])
    assert np.array_equal(alone, bands)
    monkeypatch.setattr(module, "GROUP_WORDS", 7)  # also cuts a text's n-grams into tiles
    assert np.array_equal(band_hashes(texts, MinHash())[1], bands)


def test_case_punctuation_and_composition_do_not_count() -> None:
    plain = "the café is open on every day of the week"
    other = "The cafe\u0301 -- is OPEN, on every\tday of the week!"
    _, bands = band_hashes([plain, other], MinHash())
    assert np.array_equal(bands[0], bands[1])


def test_settings_change_all_bands() -> None:
    text = planted_pair(np.random.default_rng(2), 0.8)[0]
    first = band_hashes([text], MinHash())[1]
    assert not np.isin(band_hashes([text], MinHash(seed=2))[1], first).any()
    assert not np.isin(band_hashes([text], MinHash(gram_words=4))[1], first).any()
    assert band_hashes([], MinHash())[1].shape == (0, 14)
