"""Which held-out text a document holds a part of: its n-grams of words, looked up in a sorted array all at once.

Words are those of `duplicates/words.py`, so case, punctuation, spacing and Unicode composition do not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sartor.data.duplicates.grams import grams_of_lengths
from sartor.data.duplicates.words import Hashes, word_hashes

FILTER_SLOTS_FOR_GRAM = 32  # so that one lookup in 32 that should fail goes on to the search
LEAST_FILTER_BITS = 12


@dataclass(frozen=True)
class Match:
    """Held-out text number `text` of the index, of whose n-grams `share` were found."""

    text: int
    share: float


class HeldOutIndex:
    """The n-grams of `gram_words` words of held-out texts. Shorter texts, from `least_words` on, are looked for whole.

    `is_searched` [texts] says which are not too short to be looked for. Takes about 50 bytes for each n-gram.
    """

    def __init__(self, texts: Sequence[str], gram_words: int, least_words: int):
        words = word_hashes(texts)
        self.num_grams = np.zeros(len(texts), np.int64)  # different ones, of each text
        self._tables: dict[int, _GramTable] = {}
        searched = np.minimum(words.counts, gram_words)
        self.is_searched = searched >= least_words
        lengths = sorted(set(searched[self.is_searched].tolist()))
        if not lengths:
            return
        for length, grams in zip(lengths, grams_of_lengths(words, lengths), strict=True):
            owners = grams.owners()
            wanted = searched[owners] == length
            table = _GramTable(grams.values[wanted], owners[wanted])
            self.num_grams += np.bincount(table.owners, minlength=len(texts))
            self._tables[length] = table

    def matches(self, documents: Sequence[str], least_share: float = 0.0) -> list[Match | None]:
        """For each document the held-out text of which it holds most (the first of equals), None if it holds none.

        A text counts when at least one of its different n-grams, and `least_share` of them, stand in the document.
        """
        found: list[Match | None] = [None] * len(documents)
        if not self._tables:
            return found
        words = word_hashes(documents)
        pairs = [
            self._tables[length].pairs(grams)
            for length, grams in zip(self._tables, grams_of_lengths(words, list(self._tables)), strict=True)
        ]
        both = np.concatenate(pairs)
        if not len(both):
            return found
        held, counts = np.unique(both, axis=0, return_counts=True)
        shares = counts / self.num_grams[held[:, 1]]
        for (document, text), share in zip(held.tolist(), shares.tolist(), strict=True):
            best = found[document]
            if share >= least_share and (best is None or share > best.share):
                found[document] = Match(text, share)
        return found


class _GramTable:
    """N-grams of one length, ascending, with the texts that hold each."""

    def __init__(self, values: np.ndarray, owners: np.ndarray):
        order = np.lexsort((owners, values))
        values, owners = values[order], owners[order]
        is_new = np.ones(len(values), bool)
        is_new[1:] = (values[1:] != values[:-1]) | (owners[1:] != owners[:-1])
        self.owners = owners[is_new]
        self.grams, starts = np.unique(values[is_new], return_index=True)
        self.starts = np.append(starts, len(self.owners))
        bits = max((len(self.grams) * FILTER_SLOTS_FOR_GRAM - 1).bit_length(), LEAST_FILTER_BITS)
        self.shift = np.uint64(64 - bits)
        self.may_hold = np.zeros(1 << bits, bool)
        self.may_hold[self.grams >> self.shift] = True

    def pairs(self, grams: Hashes) -> np.ndarray:
        """int64[n, 2]: document and text, once for each different n-gram that both hold."""
        places = np.flatnonzero(self.may_hold[grams.values >> self.shift])
        values = grams.values[places]
        at = np.minimum(np.searchsorted(self.grams, values), len(self.grams) - 1)
        is_held = self.grams[at] == values
        documents = np.searchsorted(grams.starts, places[is_held], "right") - 1
        held = np.unique(np.stack([documents, at[is_held]], axis=1), axis=0)
        counts = self.starts[held[:, 1] + 1] - self.starts[held[:, 1]]
        first = np.repeat(self.starts[held[:, 1]] - (np.cumsum(counts) - counts), counts)
        return np.stack([np.repeat(held[:, 0], counts), self.owners[first + np.arange(counts.sum())]], axis=1)
