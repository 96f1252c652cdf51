"""Phrases looked for in lines by compiled loops, without regard to the capitals of ASCII."""

import numpy as np
import numpy.typing as npt

from sartor.data.filters.characters import DIGIT, LETTER
from sartor.data.filters.compiled import compiled
from sartor.data.filters.utf8 import decode, start_of_character

# Phrases one after the other: their bytes, bounds, group bits, and whether a byte begins one of them [256].
Packed = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]


def packed(groups: list[tuple[tuple[str, ...], int]]) -> Packed:
    """Phrases in groups, each group with a bit, the longest phrases first."""
    phrases = [(phrase.encode(), bit) for phrases, bit in groups for phrase in phrases if phrase]
    phrases.sort(key=lambda each: -len(each[0]))
    data = np.frombuffer(b"".join(phrase for phrase, _ in phrases) or b"\0", np.uint8)
    bounds = np.concatenate([[0], np.cumsum([len(phrase) for phrase, _ in phrases], dtype=np.int64)]).astype(np.int64)
    begins = np.zeros(256, np.bool_)
    begins[[phrase[0] for phrase, _ in phrases]] = True
    return data, bounds, np.array([bit for _, bit in phrases], np.int64), begins


@compiled
def small(byte):  # type: ignore[no-untyped-def]
    return byte + 32 if 65 <= byte <= 90 else byte


@compiled
def ends_with(text, start, end, phrases):  # type: ignore[no-untyped-def]
    """Bytes of the first phrase with which text[start:end] ends, capitals or not; 0 where there is none."""
    data, bounds, _, _ = phrases
    for phrase in range(len(bounds) - 1):
        length = bounds[phrase + 1] - bounds[phrase]
        each = 0
        while (
            length <= end - start and each < length and small(text[end - length + each]) == data[bounds[phrase] + each]
        ):
            each += 1
        if length and each == length:
            return length
    return 0


@compiled
def inside_word(text, place, start, end, classes):  # type: ignore[no-untyped-def]
    """Whether letters or digits of text[start:end] stand on both sides of `place`, which begins a character."""
    if place <= start or place >= end:
        return False
    left, _ = decode(text, start_of_character(text, place))
    right, _ = decode(text, place)
    return classes[left] & (LETTER | DIGIT) != 0 and classes[right] & (LETTER | DIGIT) != 0


@compiled
def begins_with(text, start, end, phrases):  # type: ignore[no-untyped-def]
    """Bytes of the first phrase with which text[start:end] begins, capitals or not; 0 where there is none."""
    data, bounds, _, _ = phrases
    for phrase in range(len(bounds) - 1):
        length = bounds[phrase + 1] - bounds[phrase]
        each = 0
        while start + length <= end and each < length and small(text[start + each]) == data[bounds[phrase] + each]:
            each += 1
        if length and each == length:
            return length
    return 0
