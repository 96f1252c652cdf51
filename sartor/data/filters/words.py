"""Words of documents: one definition, on which every threshold that counts words rests.

What stands between spaces is cut as spaCy's English tokenizer cuts it, which published pipelines use through datatrove:

- Punctuation, quotes, brackets, dashes, pictures at either end are words of their own, one a character (dots run
  together); so are a currency sign or `%` at the beginning, a unit after a number, `'s`, and a full stop after a small
  letter, a digit or two capitals.
- What remains is cut at `...`, at pictures, at a hyphen between letters, at `: < > = /` before a letter, at a comma
  between letters, at a full stop between a small letter and a capital, at a sign between digits. An address is one
  word.
- Contractions are two words (`do` `n't`), abbreviations and faces are one (`word_lexicon.py`).

So "words" include punctuation; filters that do not want it look at the flags.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sartor.data.filters.characters import LETTER, PUNCTUATION, SENTENCE_END, SPACE, SYMBOL, character_classes
from sartor.data.filters.compiled import compiled
from sartor.data.filters.utf8 import decode
from sartor.data.filters.word_cutting import cut, look_up
from sartor.data.filters.word_lexicon import LONGEST_ENTRY, MULTIPLIER, lexicon

HAS_LETTER, IS_SYMBOL, IS_PUNCTUATION, ENDS_SENTENCE = 1, 2, 4, 8  # flags of a word

_MARK_FLAGS = np.zeros(128, np.uint8)
_MARK_FLAGS[[ord(mark) for mark in ",;:"]] = IS_SYMBOL | IS_PUNCTUATION
_MARK_FLAGS[[ord(mark) for mark in ".!?"]] = IS_SYMBOL | IS_PUNCTUATION | ENDS_SENTENCE


@dataclass(frozen=True)
class Words:
    """The words of a column of texts, in order.

    `first` [rows + 1]: the words of row i are those from first[i] to first[i + 1]. For each word: `starts`, byte in the
    column; `bytes`, `characters`: its length; `hashes`: a polynomial of its code points; `flags`.
    """

    first: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    bytes: npt.NDArray[np.int32]
    characters: npt.NDArray[np.int32]
    hashes: npt.NDArray[np.uint64]
    flags: npt.NDArray[np.uint8]


def find_words(text: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], wanted: npt.NDArray[np.bool_]) -> Words:
    """The words of texts in UTF-8 (row i is the bytes offsets[i] to offsets[i + 1]); none of rows not wanted."""
    keys, values = lexicon()
    # Room for the most words there can be: memory that is not written to is never taken from the machine.
    room = max(len(text), 1)
    starts, lengths = np.empty(room, np.int64), np.empty((2, room), np.int32)
    hashes, flags = np.empty(room, np.uint64), np.empty(room, np.uint8)
    first = np.zeros(len(offsets), np.int64)
    found = (starts, lengths[0], lengths[1], hashes, flags)
    _find(text, offsets, wanted, character_classes(), keys, values, first, found)
    end = first[-1]
    return Words(first, starts[:end], lengths[0, :end], lengths[1, :end], hashes[:end], flags[:end])


@compiled
def _find(text, offsets, wanted, classes, keys, values, first, found):  # type: ignore[no-untyped-def]
    room = np.int64(256)
    points, kinds = np.empty(room, np.int32), np.empty(room, np.uint32)
    ends, suffixes, at = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room + 1, np.int64)
    count = 0
    for row in range(len(offsets) - 1):
        place, stop = offsets[row], offsets[row + 1]
        if not wanted[row]:
            place = stop
        while place < stop:
            # Most pieces are plain letters, perhaps with a mark after them: no decoding, no search for cuts.
            start, key = place, np.uint64(0)
            while place < stop and 97 <= (text[place] | 32) <= 122:
                key = key * np.uint64(MULTIPLIER) + np.uint64(text[place] + 1)
                place += 1
            length = place - start
            marked = length > 0 and place < stop and _is_mark(text, place, key, keys, values)
            end = place + 1 if marked else place
            plain = end == stop or text[end] == 32 or text[end] == 10
            if plain and (length == 0 or length > LONGEST_ENTRY or look_up(key, keys, values) == 0):
                if length > 0:
                    count = _add(found, count, start, length, length, key, HAS_LETTER)
                if marked:
                    count = _add(found, count, place, 1, 1, np.uint64(text[place] + 1), _MARK_FLAGS[text[place]])
                place = end + 1
                continue
            place, length = start, 0
            while place < stop:
                point, width = decode(text, place)
                kind = classes[point]
                if kind & SPACE:
                    break
                if length == room:
                    points, kinds, at = _doubled(points), _doubled(kinds), _doubled(at)
                    ends, suffixes, room = _doubled(ends), _doubled(suffixes), room * 2
                points[length], kinds[length], at[length] = point, kind, place
                length += 1
                place += width
            if length == 0:
                place += width
                continue
            at[length] = place
            begin = 0
            for part in range(cut(points, kinds, length, keys, values, ends, suffixes)):
                end = ends[part]
                key, flags = _describe(points, kinds, begin, end)
                count = _add(found, count, at[begin], at[end] - at[begin], end - begin, key, flags)
                begin = end
        first[row + 1] = count


@compiled
def _is_mark(text, place, key, keys, values):  # type: ignore[no-untyped-def]
    """Whether the byte after letters of this hash is a mark that is certainly a word of its own."""
    byte = text[place]
    if byte == 46:  # of an abbreviation it is a part, and after a capital it may be
        whole = key * np.uint64(MULTIPLIER) + np.uint64(byte + 1)
        return text[place - 1] >= 97 and look_up(whole, keys, values) == 0
    return byte == 44 or byte == 33 or byte == 63 or byte == 58 or byte == 59


@compiled
def _add(found, count, start, num_bytes, characters, key, flags):  # type: ignore[no-untyped-def]
    found[0][count] = start
    found[1][count] = num_bytes
    found[2][count] = characters
    found[3][count] = key
    found[4][count] = flags
    return count + 1


@compiled
def _describe(points, kinds, begin, end):  # type: ignore[no-untyped-def]
    """Hash and flags of a word."""
    key, some, every = np.uint64(0), np.uint32(0), np.uint32(0xFFFFFFFF)
    for place in range(begin, end):
        key = key * np.uint64(MULTIPLIER) + np.uint64(points[place] + 1)
        some |= kinds[place]
        every &= kinds[place]
    flags = 0
    if some & LETTER:
        flags |= HAS_LETTER
    if every & SYMBOL:
        flags |= IS_SYMBOL
    if every & PUNCTUATION:
        flags |= IS_PUNCTUATION
    if end - begin == 1 and every & SENTENCE_END:
        flags |= ENDS_SENTENCE
    return key, flags


@compiled
def _doubled(array):  # type: ignore[no-untyped-def]
    larger = np.empty(2 * len(array), array.dtype)
    larger[: len(array)] = array
    return larger
