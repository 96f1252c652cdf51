"""Gopher's rules of quality (Rae et al., 2112.11446, section A1.1)."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sartor.base.configuration import Config
from sartor.data.filters.line_measures import line_forms
from sartor.data.filters.step import Outcome
from sartor.data.filters.text_filter import Judged, Mask, Verdict, ratio, run_filters, sums_by_row
from sartor.data.filters.texts import Texts
from sartor.data.filters.word_lexicon import word_hash
from sartor.data.filters.words import HAS_LETTER, IS_SYMBOL


class GopherQuality(Config):
    """Drop texts that do not look like prose. None switches a rule off.

    The number of words and their mean length are those of words with more than punctuation; the other shares are of all
    words. Stop words are counted as they are written here, each once.
    """

    min_words: int | None = 50
    max_words: int | None = 100_000
    min_mean_word_characters: float | None = 3
    max_mean_word_characters: float | None = 10
    max_hashes_per_word: float | None = 0.1
    max_ellipses_per_word: float | None = 0.1
    max_bullet_lines: float | None = 0.9
    max_ellipsis_lines: float | None = 0.3
    min_words_with_letter: float | None = 0.8
    min_stop_words: int | None = 2
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")

    @property
    def name(self) -> str:
        return "gopher_quality"

    def __call__(self, documents: pa.Table) -> Outcome:
        return run_filters([self], documents)

    def judge(self, texts: Texts, wanted: Mask) -> Judged:
        verdict = Verdict(wanted)
        words, num_words = texts.words, texts.num_words
        spoken = (words.flags & IS_SYMBOL) == 0
        num_spoken = sums_by_row(spoken, words.first)
        verdict.drop_below("gopher_few_words", num_spoken, self.min_words)
        verdict.drop_above("gopher_many_words", num_spoken, self.max_words)
        mean = ratio(sums_by_row(words.characters * spoken, words.first), num_spoken)
        verdict.drop_below("gopher_mean_word_length_low", mean, self.min_mean_word_characters)
        verdict.drop_above("gopher_mean_word_length_high", mean, self.max_mean_word_characters)
        forms = line_forms(texts, verdict.open)
        verdict.drop_above("gopher_hashes", ratio(forms["hashes"], num_words), self.max_hashes_per_word)
        verdict.drop_above("gopher_ellipses", ratio(forms["ellipses"], num_words), self.max_ellipses_per_word)
        verdict.drop_above("gopher_bullet_lines", ratio(forms["bullet_lines"], forms["lines"]), self.max_bullet_lines)
        endings = ratio(forms["ellipsis_lines"], forms["lines"])
        verdict.drop_above("gopher_ellipsis_lines", endings, self.max_ellipsis_lines)
        lettered = sums_by_row((words.flags & HAS_LETTER) != 0, words.first)
        verdict.drop_below("gopher_words_with_letter", ratio(lettered, num_words), self.min_words_with_letter)
        verdict.drop_below("gopher_stop_words", self._stop_words(texts), self.min_stop_words)
        return Judged(verdict, texts)

    def _stop_words(self, texts: Texts) -> npt.NDArray[np.int64]:
        """How many of the stop words each text has [rows]."""
        found = np.zeros(len(texts), np.int64)
        for stop_word in self.stop_words:
            places = np.flatnonzero(texts.words.hashes == np.uint64(word_hash(stop_word)))
            rows = np.searchsorted(texts.words.first, places, side="right") - 1
            found[np.unique(rows)] += 1
        return found
