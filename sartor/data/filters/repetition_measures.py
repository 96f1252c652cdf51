"""How much of a text is repeated runs of words (Gopher, 2112.11446, table A1). Compiled loops over hashes of words."""

import numpy as np
import numpy.typing as npt

from sartor.data.filters.compiled import compiled
from sartor.data.filters.hashing import place_of, table_size, was_there
from sartor.data.filters.texts import Texts
from sartor.data.filters.word_lexicon import MULTIPLIER


def top_run_characters(texts: Texts, wanted: npt.NDArray[np.bool_], lengths: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Characters of all occurrences of the most frequent run of n words, spaces between its words included.

    [len(lengths), rows]; `lengths` ascend. Of runs that are equally frequent the first counts, also where each occurs
    once; 0 where a text has fewer than n words.
    """
    words = texts.words
    out = np.zeros((len(lengths), len(texts)), np.int64)
    _top_runs(words.first, words.hashes, words.characters, wanted, np.array(lengths, np.int64), out)
    return out


def repeated_run_characters(
    texts: Texts, wanted: npt.NDArray[np.bool_], lengths: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """Characters in runs of n words that were there before, without the spaces, no character counted twice.

    [len(lengths), rows]; `lengths` ascend. The text is read from its beginning: a run that was seen before is counted
    and jumped over, any other is remembered and the reading goes on one word later.
    """
    words = texts.words
    out = np.zeros((len(lengths), len(texts)), np.int64)
    _repeated_runs(words.first, words.hashes, words.characters, wanted, np.array(lengths, np.int64), out)
    return out


@compiled
def _top_runs(first, hashes, characters, wanted, lengths, out):  # type: ignore[no-untyped-def]
    keys, stamps = np.empty(64, np.uint64), np.zeros(64, np.int64)
    counts, begins = np.empty(64, np.int64), np.empty(64, np.int64)
    runs = np.empty(64, np.uint64)
    stamp = 0
    for row in range(len(first) - 1):
        start, num_words = first[row], first[row + 1] - first[row]
        if not wanted[row] or num_words == 0:
            continue
        size = table_size(num_words)
        if size > len(keys):
            keys, stamps = np.empty(size, np.uint64), np.zeros(size, np.int64)
            counts, begins, runs = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.uint64)
        for word in range(num_words):
            runs[word] = hashes[start + word]
        length = 1
        best = 0
        for which in range(len(lengths)):
            while length < lengths[which]:
                for word in range(num_words - length):
                    # Not the sum of a concatenation: "ab c" and "a bc" are different runs.
                    mixed = runs[word] ^ (runs[word] >> np.uint64(29))
                    runs[word] = mixed * np.uint64(MULTIPLIER) + hashes[start + word + length]
                length += 1
            num_runs = num_words - length + 1
            if num_runs <= 0:
                break
            best_begin = 0
            if best != 1:  # else every shorter run was there once, and so is every longer one
                best = 0
                stamp += 1
                for word in range(num_runs):
                    place = place_of(runs[word], keys, stamps, stamp, size)
                    if stamps[place] != stamp:
                        keys[place], stamps[place], counts[place], begins[place] = runs[word], stamp, 0, word
                    counts[place] += 1
                    count, begin = counts[place], begins[place]
                    if count > best or (count == best and begin < best_begin):
                        best, best_begin = count, begin
            total = length - 1
            for word in range(start + best_begin, start + best_begin + length):
                total += characters[word]
            out[which, row] = total * best


@compiled
def _power(exponent):  # type: ignore[no-untyped-def]
    """MULTIPLIER ** exponent, modulo 2 ** 64."""
    result, base = np.uint64(1), np.uint64(MULTIPLIER)
    while exponent > 0:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


@compiled
def _repeated_runs(first, hashes, characters, wanted, lengths, out):  # type: ignore[no-untyped-def]
    keys, stamps = np.empty(64, np.uint64), np.zeros(64, np.int64)
    runs, factors, before = np.empty(64, np.uint64), np.empty(64, np.uint64), np.zeros(65, np.int64)
    powers = np.array([_power(exponent) for exponent in range(64)], np.uint64)
    stamp = 0
    for row in range(len(first) - 1):
        start, num_words = first[row], first[row + 1] - first[row]
        if not wanted[row] or num_words == 0:
            continue
        size = table_size(num_words)
        if size > len(keys):
            keys, stamps = np.empty(size, np.uint64), np.zeros(size, np.int64)
            runs, factors, before = np.empty(size, np.uint64), np.empty(size, np.uint64), np.zeros(size + 1, np.int64)
        for word in range(num_words):
            length = characters[start + word]
            runs[word] = hashes[start + word]
            factors[word] = powers[length] if length < 64 else _power(length)
            before[word + 1] = before[word] + length
        length = 1
        for which in range(len(lengths)):
            while length < lengths[which]:
                for word in range(num_words - length):
                    # The hash of the words written together, as the hash of a word is that of its characters.
                    runs[word] = runs[word] * factors[word + length] + hashes[start + word + length]
                length += 1
            stamp += 1
            word, repeated = 0, 0
            while word < num_words - length + 1:
                if was_there(runs[word], keys, stamps, stamp, size):
                    repeated += before[word + length] - before[word]
                    word += length
                else:
                    word += 1
            out[which, row] = repeated
            if repeated == 0:
                break  # no run of this length is repeated, so no longer one is
