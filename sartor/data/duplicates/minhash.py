"""MinHash signatures in bands: texts that share most of their word n-grams agree in some band with known probability.

With Jaccard similarity s of the sets of n-grams, a single hash agrees with probability s, a band of r hashes with s**r,
and at least one of b bands with 1 - (1 - s**r)**b (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, section 3.4). The defaults are those of FineWeb (Penedo et al. 2024, section 3.4): 5-grams, 14 bands of 8.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field

from sartor.base.configuration import Config
from sartor.data.duplicates.grams import gram_hashes
from sartor.data.duplicates.words import Hashes, mix, word_hashes

GROUP_WORDS = 1 << 16  # worked on at once: n-grams and their products stay in the second-level cache
LARGEST = np.uint32(0xFFFFFFFF)
HALF = np.uint64(32)
BAND_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class MinHash(Config):
    """How texts are compared. Signatures of different settings cannot be compared with each other."""

    gram_words: int = Field(default=5, ge=1, le=100, description="words in an n-gram")
    bands: int = Field(default=14, ge=1, le=1000, description="texts that agree in one band are near-duplicates")
    band_hashes: int = Field(default=8, ge=1, le=1000, description="hashes in a band, all of which must agree")
    seed: int = Field(default=1, ge=0, description="draws the hash functions")

    def probability(self, similarity: float) -> float:
        """That two texts of this Jaccard similarity agree in at least one band."""
        return float(1 - (1 - similarity**self.band_hashes) ** self.bands)


def band_hashes(texts: Sequence[str], settings: MinHash) -> tuple[np.ndarray, np.ndarray]:
    """int64[signed], the texts that have at least one n-gram, and uint64[signed, bands], a number for each band.

    Each row depends on its own text alone.
    """
    words = word_hashes(texts)
    factors = _factors(settings)
    signed, bands = [np.empty(0, np.int64)], [np.empty((0, settings.bands), np.uint64)]
    for begin, end in _groups(words):
        grams = gram_hashes(words.of_texts(begin, end), settings.gram_words)
        rows = np.flatnonzero(grams.counts)
        starts = np.append(grams.starts[rows], grams.starts[-1])
        signed.append(begin + rows)
        bands.append(_bands(_minima(grams.values, starts, factors), settings))
    return np.concatenate(signed), np.concatenate(bands)


def _groups(words: Hashes) -> Iterator[tuple[int, int]]:
    """Ranges of consecutive texts of about GROUP_WORDS words, at least one text each."""
    begin, last = 0, len(words.starts) - 1
    while begin < last:
        limit = words.starts[begin] + GROUP_WORDS
        end = max(int(np.searchsorted(words.starts, limit, "right")) - 1, begin + 1)
        yield begin, end
        begin = end


def _factors(settings: MinHash) -> np.ndarray:
    """uint32[hashes], odd: hash i of a gram is factor i times the gram's number, modulo 2**32.

    Multiplication by an odd number is a permutation, and grams' numbers are well mixed already, so each gram of a set
    is equally likely to have the least product.
    """
    count = settings.bands * settings.band_hashes
    drawn = mix(np.arange(1, count + 1, dtype=np.uint64) + mix(np.array([settings.seed], np.uint64)))
    return (drawn >> HALF).astype(np.uint32) | np.uint32(1)


def _minima(grams: np.ndarray, starts: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """uint32[hashes, texts]: the least hash of each text's grams. Every text has at least one."""
    found = np.full((len(factors), len(starts) - 1), LARGEST)
    numbers = (grams >> HALF).astype(np.uint32)
    products = np.empty(GROUP_WORDS, np.uint32)
    for begin in range(0, len(numbers), GROUP_WORDS):  # only a single long text has more than one round
        tile = numbers[begin : begin + GROUP_WORDS]
        first = int(np.searchsorted(starts, begin, "right")) - 1
        last = int(np.searchsorted(starts, begin + len(tile), "left"))
        places = np.maximum(starts[first:last] - begin, 0)
        for factor, least in zip(factors, found[:, first:last], strict=True):
            np.multiply(tile, factor, out=products[: len(tile)])
            np.minimum(least, np.minimum.reduceat(products[: len(tile)], places), out=least)
    return found


def _bands(minima: np.ndarray, settings: MinHash) -> np.ndarray:
    """uint64[texts, bands]: the hashes of a band as one number; bands never agree with one another."""
    minima = minima.reshape(settings.bands, settings.band_hashes, -1).astype(np.uint64)
    numbers = np.arange(1, settings.bands + 1, dtype=np.uint64)[:, None] * BAND_FACTOR
    for place in range(settings.band_hashes):
        numbers = mix((numbers ^ minima[:, place]) * BAND_FACTOR)
    return np.ascontiguousarray(numbers.T)
