"""C4's rules for lines: which go, and whether one of them condemns the page. Compiled loops over bytes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sartor.data.filters.characters import SPACE, character_classes
from sartor.data.filters.compiled import compiled
from sartor.data.filters.line_measures import line_bounds, stripped
from sartor.data.filters.phrases import ends_with, packed, small
from sartor.data.filters.texts import Texts
from sartor.data.filters.utf8 import decode

if TYPE_CHECKING:
    from sartor.data.filters.c4 import C4Quality

PHRASE_PAGE, BRACKET_PAGE = 1, 2
LINE_COUNTS = (
    "lines removed: word too long",
    "lines removed: no terminal mark",
    "lines removed: too few words",
    "lines removed: script",
    "lines removed: policy",
    "citations removed",
)
_IN_PAGE_PHRASE, _IN_SCRIPT, _IN_POLICY = 1, 2, 4
_EDIT, _CITATION_NEEDED = np.frombuffer(b"edit]", np.uint8), np.frombuffer(b"citation needed]", np.uint8)


@dataclass(frozen=True)
class Lines:
    """Texts without the lines that go; rows that are not wanted or whose page is condemned stay as they were.

    `pages` [rows]: 0, PHRASE_PAGE or BRACKET_PAGE. `counts` [len(LINE_COUNTS), rows].
    """

    texts: Texts
    pages: npt.NDArray[np.int8]
    counts: npt.NDArray[np.int64]


def edit_lines(texts: Texts, wanted: npt.NDArray[np.bool_], settings: "C4Quality") -> Lines:
    out, offsets = np.empty(len(texts.data), np.uint8), np.zeros(len(texts) + 1, np.int64)
    pages, counts = np.zeros(len(texts), np.int8), np.zeros((len(LINE_COUNTS), len(texts)), np.int64)
    groups = ((settings.page_phrases, _IN_PAGE_PHRASE), (settings.script_phrases, _IN_SCRIPT))
    phrases = packed([*groups, (settings.policy_phrases, _IN_POLICY)])
    marks = packed([(settings.terminal_marks or (), 1)])
    rules = (
        _or_none(settings.max_word_characters),
        settings.remove_citations,
        settings.terminal_marks is not None,
        settings.min_words_per_line or 0,
        settings.drop_curly_brackets,
    )
    _edit(texts.data, texts.offsets, wanted, character_classes(), phrases, marks, rules, out, offsets, pages, counts)
    return Lines(Texts(out[: offsets[-1]], offsets, wanted), pages, counts)


def _or_none(limit: int | None) -> int:
    return 2**62 if limit is None else limit


@compiled
def _edit(text, offsets, wanted, classes, phrases, marks, rules, out, out_offsets, pages, counts):  # type: ignore[no-untyped-def]
    position = 0
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        kept_from = position
        start, kept = begin, 0
        while wanted[row] and start < end and pages[row] == 0:
            stop, following = line_bounds(text, start, end)
            first, last = stripped(text, start, stop, classes)
            if kept > 0:
                out[position] = 10
            into = position + (kept > 0)
            verdict, length, citations = _judge_line(text, first, last, classes, phrases, marks, rules, out, into)
            if verdict == -1:
                kept, position = kept + 1, into + length
                counts[5, row] += citations
            elif verdict >= 0:
                counts[verdict, row] += 1
            else:
                pages[row] = -1 - verdict
            start = following
        if wanted[row] and pages[row] == 0:
            first, last = stripped(out, kept_from, position, classes)
            position = _copy(out, first, last, out, kept_from)
        else:
            position = _copy(text, begin, end, out, kept_from)
        out_offsets[row + 1] = position


@compiled
def _copy(source, start, end, target, into):  # type: ignore[no-untyped-def]
    """Copy bytes forwards (so the target may be the source, to the left); the end in the target."""
    for place in range(start, end):
        target[into + place - start] = source[place]
    return into + end - start


@compiled
def _judge_line(text, first, last, classes, phrases, marks, rules, out, into):  # type: ignore[no-untyped-def]
    """(verdict, bytes, citations): the line is written to `out`, to stay there if the verdict is -1.

    Verdicts from 0 are places in LINE_COUNTS; -1 - PHRASE_PAGE and -1 - BRACKET_PAGE condemn the page.
    """
    max_word_characters, remove_citations, ends_matter, min_words, brackets = rules
    num_words, longest = _spaced_words(text, first, last, classes)
    if longest > max_word_characters:
        return 0, 0, 0
    length, citations = _without_citations(text, first, last, out, into, remove_citations)
    end = into + length
    if ends_matter:
        dots = length >= 3 and out[end - 1] == 46 and out[end - 2] == 46 and out[end - 3] == 46
        if dots or ends_with(out, into, end, marks) == 0:
            return 1, 0, 0
    if num_words < min_words:
        return 2, 0, 0
    found, bracket = _phrases_in(out, into, end, phrases)
    if found & _IN_PAGE_PHRASE:
        return -1 - PHRASE_PAGE, 0, 0
    if found & _IN_SCRIPT:
        return 3, 0, 0
    if brackets and bracket:
        return -1 - BRACKET_PAGE, 0, 0
    if found & _IN_POLICY:
        return 4, 0, 0
    return -1, length, citations


@compiled
def _spaced_words(text, first, last, classes):  # type: ignore[no-untyped-def]
    """Words between spaces and the characters of the longest."""
    num_words, longest, characters, place = 0, 0, 0, first
    while place < last:
        point, width = decode(text, place)
        if classes[point] & SPACE:
            characters = 0
        else:
            num_words += characters == 0
            characters += 1
            longest = max(longest, characters)
        place += width
    return num_words, longest


@compiled
def _without_citations(text, first, last, out, into, remove):  # type: ignore[no-untyped-def]
    """Copy a line without its citations: bytes written, citations left out."""
    place, position, citations = first, into, 0
    while place < last:
        if remove and text[place] == 91:
            end = place + 1
            while end < last and 48 <= text[end] <= 57:
                end += 1
            if end < last and text[end] == 93:
                place, citations = end + 1, citations + 1
                continue
            if _matches(text, place + 1, last, _EDIT):
                place, citations = place + 1 + len(_EDIT), citations + 1
                continue
            if _matches(text, place + 1, last, _CITATION_NEEDED):
                place, citations = place + 1 + len(_CITATION_NEEDED), citations + 1
                continue
        out[position] = text[place]
        position += 1
        place += 1
    return position - into, citations


@compiled
def _matches(text, place, last, phrase):  # type: ignore[no-untyped-def]
    if place + len(phrase) > last:
        return False
    each = 0
    while each < len(phrase) and text[place + each] == phrase[each]:
        each += 1
    return each == len(phrase)


@compiled
def _phrases_in(text, start, end, phrases):  # type: ignore[no-untyped-def]
    """(bits of the groups whose phrases are there, capitals or not; whether there is an opening curly bracket)."""
    data, bounds, groups, begins = phrases
    found, bracket = 0, False
    for place in range(start, end):
        byte = text[place]
        bracket |= byte == 123
        if not begins[small(byte)]:
            continue
        for phrase in range(len(groups)):
            low, high = bounds[phrase], bounds[phrase + 1]
            each = low
            while each < high and place + each - low < end and small(text[place + each - low]) == data[each]:
                each += 1
            if each == high:
                found |= groups[phrase]
    return found, bracket
