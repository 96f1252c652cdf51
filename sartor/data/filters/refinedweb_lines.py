"""RefinedWeb's corrections of lines (Penedo et al., 2306.01116, section 3.2 and appendix G.2).

The paper describes the rules and gives 5 % of flagged words and 10 words for a short line. It does not publish the
share of capitals that makes a line "mainly upper case", nor the lists of counters and phrases: ours are settings, and
assumed.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sartor.base.configuration import Config
from sartor.data.filters.characters import DIGIT, LETTER, LOWER, SPACE, UPPER, character_classes
from sartor.data.filters.compiled import compiled
from sartor.data.filters.line_measures import stripped
from sartor.data.filters.phrases import begins_with, ends_with, inside_word, packed
from sartor.data.filters.step import Outcome
from sartor.data.filters.text_filter import Judged, Mask, Verdict, ratio, run_filters
from sartor.data.filters.texts import Texts
from sartor.data.filters.utf8 import decode

COUNTS = (
    "lines removed: upper case",
    "lines removed: numbers only",
    "lines removed: counter",
    "lines removed: one word",
    "phrases of navigation removed",
)
_KEPT, _EDITED = -1, 4


class RefinedWebLines(Config):
    """Remove lines of navigation, counters and shouting; drop texts in which they are many. None switches a rule off.

    Words are what stands between spaces; lines end at a newline; phrases are compared without regard to capitals, are
    written in small letters, and are found only where no letter or digit of theirs continues a word.
    """

    max_upper_case_letters: float | None = 0.5  # of a line's letters
    drop_numbers: bool = True  # lines without a letter that have a digit
    counters: tuple[str, ...] = (
        "likes", "like", "shares", "share", "comments", "comment", "retweets", "views", "followers", "downloads",
        "votes",
    )  # fmt: skip
    min_words_per_line: int | None = 2
    short_line_words: int = 10  # only such lines are searched for phrases
    first_phrases: tuple[str, ...] = ("sign-in", "sign in", "log in", "skip to content")
    last_phrases: tuple[str, ...] = ("read more...", "read more…", "read more", "continue reading")
    phrases: tuple[str, ...] = ("items in cart", "items in your cart", "add to cart")
    max_flagged_words: float | None = 0.05

    @property
    def name(self) -> str:
        return "refinedweb_lines"

    def __call__(self, documents: pa.Table) -> Outcome:
        return run_filters([self], documents)

    def judge(self, texts: Texts, wanted: Mask) -> Judged:
        verdict = Verdict(wanted)
        lines = _correct(texts, wanted, self)
        verdict.drop_above("refinedweb_flagged_words", ratio(lines.flagged, lines.words), self.max_flagged_words)
        counts = lines.counts[:, verdict.open].sum(axis=1)
        return Judged(verdict, lines.texts, dict(zip(COUNTS, counts.tolist(), strict=True)))


@dataclass(frozen=True)
class _Corrected:
    """Texts after the corrections; words, and words of lines that were flagged [rows]; counts [len(COUNTS), rows]."""

    texts: Texts
    words: npt.NDArray[np.int64]
    flagged: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


def _correct(texts: Texts, wanted: Mask, settings: RefinedWebLines) -> _Corrected:
    out, offsets = np.empty(len(texts.data), np.uint8), np.zeros(len(texts) + 1, np.int64)
    words, counts = np.zeros((2, len(texts)), np.int64), np.zeros((len(COUNTS), len(texts)), np.int64)
    groups = [settings.counters, settings.first_phrases, settings.last_phrases, settings.phrases]
    phrases = tuple(packed([(group, 1)]) for group in groups)
    share, least = settings.max_upper_case_letters, settings.min_words_per_line
    rules = (1.0 if share is None else share, settings.drop_numbers, least or 0, settings.short_line_words)
    _edit(texts.data, texts.offsets, wanted, character_classes(), phrases, rules, out, offsets, words, counts)
    return _Corrected(Texts(out[: offsets[-1]], offsets, wanted), words[0], words[1], counts)


@compiled
def _edit(text, offsets, wanted, classes, phrases, rules, out, out_offsets, words, counts):  # type: ignore[no-untyped-def]
    position = 0
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        first_line = True
        while start <= end and wanted[row]:
            stop = start
            while stop < end and text[stop] != 10:
                stop += 1
            first, last = stripped(text, start, stop, classes)
            kind, num_words = _judge(text, first, last, classes, phrases[0], rules)
            words[0, row] += num_words
            low, high, hole, width = start, stop, stop, 0
            if kind == _KEPT and 0 < num_words <= rules[3]:
                low, high, hole, width = _without_phrases(text, start, stop, first, last, phrases, classes)
                if low > start or high < stop or width:
                    kind = _EDITED
            if kind != _KEPT:
                words[1, row] += num_words
                counts[kind, row] += 1
            if kind in (_KEPT, _EDITED):
                if not first_line:
                    out[position] = 10
                    position += 1
                first_line = False
                for place in range(low, high):
                    if not hole <= place < hole + width:
                        out[position] = text[place]
                        position += 1
            start = stop + 1
        if not wanted[row]:
            for place in range(start, end):
                out[position] = text[place]
                position += 1
        out_offsets[row + 1] = position


@compiled
def _judge(text, first, last, classes, counters, rules):  # type: ignore[no-untyped-def]
    """(place in COUNTS of the rule by which the line goes, or _KEPT; its words). A line without words stays."""
    letters, capitals, digits, num_words, inside = 0, 0, 0, 0, False
    second = last
    place = first
    while place < last:
        point, width = decode(text, place)
        kind = classes[point]
        if kind & SPACE:
            inside = False
        else:
            if not inside:
                num_words += 1
                second = place if num_words == 2 else second
            inside = True
            letters += (kind & LETTER) != 0
            capitals += (kind & UPPER) != 0 and not kind & LOWER
            digits += (kind & DIGIT) != 0
        place += width
    max_capitals, numbers, min_words, _ = rules
    if num_words == 0:
        return _KEPT, 0
    if letters > 0 and capitals / letters > max_capitals:
        return 0, num_words
    if numbers and letters == 0 and digits > 0:
        return 1, num_words
    if num_words == 2 and 48 <= text[first] <= 57 and ends_with(text, second, last, counters) == last - second:
        return 2, num_words
    return (3 if num_words < min_words else _KEPT), num_words


@compiled
def _without_phrases(text, start, stop, first, last, phrases, classes):  # type: ignore[no-untyped-def]
    """What stays of a short line: from `low` to `high`, without `width` bytes from `hole`."""
    low, high = start, stop
    length = begins_with(text, first, last, phrases[1])
    if length and not inside_word(text, first + length, first, last, classes):
        low = first + length
    length = ends_with(text, max(low, first), last, phrases[2])
    if length and not inside_word(text, last - length, first, last, classes):
        high = last - length
    for place in range(max(low, first), min(high, last)):
        length = begins_with(text, place, min(high, last), phrases[3])
        if (
            length
            and not inside_word(text, place, first, last, classes)
            and not inside_word(text, place + length, first, last, classes)
        ):
            return low, high, place, length
    return low, high, high, 0
