"""Measures of the lines and paragraphs of texts. Compiled loops over bytes; one number a text and measure."""

import numpy as np
import numpy.typing as npt

from sartor.data.filters.characters import SENTENCE_END, SPACE, character_classes
from sartor.data.filters.compiled import compiled
from sartor.data.filters.hashing import table_size, was_there
from sartor.data.filters.texts import Texts
from sartor.data.filters.utf8 import decode, start_of_character
from sartor.data.filters.word_lexicon import MULTIPLIER

Measures = dict[str, npt.NDArray[np.int64]]
_REPEATED = ("paragraphs", "paragraph_repeats", "paragraph_repeat_characters")
_REPEATED_LINES = ("lines", "line_repeats", "line_repeat_characters")
_FORM = ("lines", "bullet_lines", "ellipsis_lines", "hashes", "ellipses")
_ENDS = ("lines", "ended_lines", "short_lines", "repeat_characters", "newlines")


def repeated_parts(texts: Texts, wanted: npt.NDArray[np.bool_]) -> Measures:
    """Lines and paragraphs, those that were there before in the same text, and the characters of these.

    A paragraph ends at two or more newlines, a line at one or more. Both are compared as they are, spaces included.
    """
    out = np.zeros((6, len(texts)), np.int64)
    _repeated_parts(texts.data, texts.offsets, wanted, character_classes(), out)
    return dict(zip(_REPEATED + _REPEATED_LINES, out, strict=True))


def line_forms(texts: Texts, wanted: npt.NDArray[np.bool_]) -> Measures:
    """Lines (of `str.splitlines`), those that begin with a bullet or end with an ellipsis; `#` and ellipses."""
    out = np.zeros((len(_FORM), len(texts)), np.int64)
    _line_forms(texts.data, texts.offsets, wanted, character_classes(), out)
    return dict(zip(_FORM, out, strict=True))


def line_ends(texts: Texts, wanted: npt.NDArray[np.bool_], short_line_characters: int) -> Measures:
    """Lines with more than spaces; of them those that end with a mark that ends a sentence, those of at most
    `short_line_characters`, and the characters of those that were there before; newlines.
    """
    out = np.zeros((len(_ENDS), len(texts)), np.int64)
    _line_ends(texts.data, texts.offsets, wanted, character_classes(), short_line_characters, out)
    return dict(zip(_ENDS, out, strict=True))


@compiled
def stripped(text, start, end, classes):  # type: ignore[no-untyped-def]
    """The bounds of text[start:end] without spaces at either end."""
    while start < end:
        point, width = decode(text, start)
        if not classes[point] & SPACE:
            break
        start += width
    while end > start:
        last = start_of_character(text, end)
        point, width = decode(text, last)
        if not classes[point] & SPACE:
            break
        end = last
    return start, end


@compiled
def _repeated_parts(text, offsets, wanted, classes, out):  # type: ignore[no-untyped-def]
    keys, stamps = np.empty(64, np.uint64), np.zeros(64, np.int64)
    stamp = 0
    for row in range(len(offsets) - 1):
        if not wanted[row]:
            continue
        start, end = offsets[row], offsets[row + 1]
        newlines = 0
        for place in range(start, end):
            newlines += text[place] == 10
        size = table_size(newlines + 1)
        if size > len(keys):
            keys, stamps = np.empty(size, np.uint64), np.zeros(size, np.int64)
        first, last = stripped(text, start, end, classes)
        stamp += 1
        out[0, row], out[1, row], out[2, row] = _repeats(text, first, last, 2, keys, stamps, stamp, size)
        stamp += 1
        out[3, row], out[4, row], out[5, row] = _repeats(text, start, end, 1, keys, stamps, stamp, size)


@compiled
def _repeats(text, start, end, newlines, keys, stamps, stamp, size):  # type: ignore[no-untyped-def]
    """(parts, parts that were there before, their characters); parts end at `newlines` or more newlines."""
    parts, repeats, repeat_characters = 0, 0, 0
    place = start
    while True:
        key, characters = np.uint64(1), 0
        run = 0
        while place < end:
            byte = text[place]
            if byte == 10:
                run = 1
                while place + run < end and text[place + run] == 10:
                    run += 1
                if run >= newlines:
                    break
                run = 0
            key = key * np.uint64(MULTIPLIER) + np.uint64(byte + 1)
            characters += byte & 0xC0 != 0x80
            place += 1
        parts += 1
        if was_there(key, keys, stamps, stamp, size):
            repeats += 1
            repeat_characters += characters
        if run == 0:
            return parts, repeats, repeat_characters
        place += run


@compiled
def _line_forms(text, offsets, wanted, classes, out):  # type: ignore[no-untyped-def]
    for row in range(len(offsets) - 1):
        if not wanted[row]:
            continue
        start, end = offsets[row], offsets[row + 1]
        while start < end:
            stop, following = line_bounds(text, start, end)
            first, last = stripped(text, start, stop, classes)
            out[0, row] += 1
            if first < last:
                out[1, row] += text[first] == 45 or (text[first] == 0xE2 and _is(text, first, 0x80, 0xA2))
                dots = last - first >= 3 and text[last - 1] == 46 and text[last - 2] == 46 and text[last - 3] == 46
                out[2, row] += dots or (
                    last - first >= 3 and text[last - 3] == 0xE2 and _is(text, last - 3, 0x80, 0xA6)
                )
            start = following
        dots = 0
        for place in range(offsets[row], end):
            byte = text[place]
            dots = dots + 1 if byte == 46 else 0
            if dots == 3 or (byte == 0xE2 and _is(text, place, 0x80, 0xA6)):
                out[4, row] += 1
                dots = 0
            out[3, row] += byte == 35


@compiled
def _is(text, place, second, third):  # type: ignore[no-untyped-def]
    """Whether the three-byte character that begins at `place` goes on with these bytes."""
    return text[place + 1] == second and text[place + 2] == third


@compiled
def line_bounds(text, start, end):  # type: ignore[no-untyped-def]
    """Where the line that begins at `start` ends, and where the next one begins; lines as of `str.splitlines`."""
    place = start
    while place < end:
        byte = text[place]
        if byte < 0x20:
            if byte == 13 and place + 1 < end and text[place + 1] == 10:
                return place, place + 2
            if 10 <= byte <= 13 or 0x1C <= byte <= 0x1E:
                return place, place + 1
        elif byte == 0xC2 and text[place + 1] == 0x85:
            return place, place + 2
        elif byte == 0xE2 and text[place + 1] == 0x80 and 0xA8 <= text[place + 2] <= 0xA9:
            return place, place + 3
        place += 1
    return end, end


@compiled
def _line_ends(text, offsets, wanted, classes, short, out):  # type: ignore[no-untyped-def]
    keys, stamps = np.empty(64, np.uint64), np.zeros(64, np.int64)
    stamp = 0
    for row in range(len(offsets) - 1):
        if not wanted[row]:
            continue
        start, end = offsets[row], offsets[row + 1]
        newlines = 0
        for place in range(start, end):
            newlines += text[place] == 10
        size = table_size(newlines + 1)
        if size > len(keys):
            keys, stamps = np.empty(size, np.uint64), np.zeros(size, np.int64)
        stamp += 1
        out[4, row] = newlines
        while start <= end:
            key, characters, place = np.uint64(1), 0, start
            while place < end and text[place] != 10:
                key = key * np.uint64(MULTIPLIER) + np.uint64(text[place] + 1)
                characters += text[place] & 0xC0 != 0x80
                place += 1
            first, last = stripped(text, start, place, classes)
            if first < last:
                point, _ = decode(text, start_of_character(text, place))
                out[0, row] += 1
                out[1, row] += (classes[point] & SENTENCE_END) != 0
                out[2, row] += characters <= short
                if was_there(key, keys, stamps, stamp, size):
                    out[3, row] += characters
            start = place + 1
