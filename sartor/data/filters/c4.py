"""C4's rules (Raffel et al., 1910.10683, section 2.2, and the code that made the data set)."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sartor.base.configuration import Config
from sartor.data.filters.c4_lines import BRACKET_PAGE, LINE_COUNTS, PHRASE_PAGE, edit_lines
from sartor.data.filters.compiled import compiled
from sartor.data.filters.step import Outcome
from sartor.data.filters.text_filter import Judged, Mask, Verdict, run_filters
from sartor.data.filters.texts import Texts
from sartor.data.filters.words import ENDS_SENTENCE, IS_PUNCTUATION


class C4Quality(Config):
    """Remove lines that are not prose, then drop texts of which too little is left. None switches a rule off.

    Lines are those of `str.splitlines`, without spaces at either end. A page is dropped for a phrase or bracket only if
    the line that holds it passes the rules before. The list of offensive words is not part of it. Phrases are compared
    without regard to capitals; they are written in small letters of ASCII.
    """

    max_word_characters: int | None = 1000
    remove_citations: bool = True  # [1], [edit], [citation needed]
    terminal_marks: tuple[str, ...] | None = (".", "?", "!", '"', "'")  # how a line must end, though not with `...`
    min_words_per_line: int | None = 3  # between spaces
    page_phrases: tuple[str, ...] = ("lorem ipsum",)
    script_phrases: tuple[str, ...] = ("javascript",)
    drop_curly_brackets: bool = True
    policy_phrases: tuple[str, ...] = (
        "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies",
    )  # fmt: skip
    min_sentences: int | None = 5

    @property
    def name(self) -> str:
        return "c4_quality"

    def __call__(self, documents: pa.Table) -> Outcome:
        return run_filters([self], documents)

    def judge(self, texts: Texts, wanted: Mask) -> Judged:
        verdict = Verdict(wanted)
        lines = edit_lines(texts, wanted, self)
        verdict.drop("c4_lorem_ipsum", lines.pages == PHRASE_PAGE)
        verdict.drop("c4_curly_bracket", lines.pages == BRACKET_PAGE)
        left = Texts(lines.texts.data, lines.texts.offsets, verdict.open.copy())
        if self.min_sentences is not None:
            verdict.drop_below("c4_few_sentences", num_sentences(left), self.min_sentences)
        counts = lines.counts[:, verdict.open].sum(axis=1)
        return Judged(verdict, left, dict(zip(LINE_COUNTS, counts.tolist(), strict=True)))


def num_sentences(texts: Texts) -> npt.NDArray[np.int64]:
    """Sentences of every text [rows], counted line by line.

    A sentence ends at a word that is a mark of its end, and the next begins at the first word that is not punctuation.
    """
    words = texts.words
    counts = np.zeros(len(texts), np.int64)
    _count(texts.data, words.first, words.starts, words.bytes, words.flags, counts)
    return counts


@compiled
def _count(text, first, starts, lengths, flags, counts):  # type: ignore[no-untyped-def]
    for row in range(len(counts)):
        ended = True  # the first word of a line begins a sentence, be it punctuation or not
        for word in range(first[row], first[row + 1]):
            before = starts[word - 1] + lengths[word - 1] if word > first[row] else starts[word]
            gap = starts[word] - before
            new_line = word == first[row]
            for place in range(before, starts[word]):
                new_line |= text[place] == 10
            # More than one space between words counts as a word, which is not punctuation.
            spaces = gap > 1 or (gap == 1 and text[before] != 32)
            if new_line or (ended and (spaces or not flags[word] & (IS_PUNCTUATION | ENDS_SENTENCE))):
                counts[row] += 1
                ended = False
            if flags[word] & ENDS_SENTENCE:
                ended = True
