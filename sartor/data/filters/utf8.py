"""UTF-8, read by compiled loops. The bytes must be valid, as those of an Arrow string are."""

import numpy as np

from sartor.data.filters.compiled import compiled


@compiled
def decode(text, place):  # type: ignore[no-untyped-def]
    """The code point that begins at byte `place`, and its length in bytes."""
    lead = text[place]
    if lead < 0x80:
        return lead & 0x7F, 1
    if lead < 0xE0:
        return (lead & 0x1F) << 6 | (text[place + 1] & 0x3F), 2
    if lead < 0xF0:
        return (lead & 0x0F) << 12 | (text[place + 1] & 0x3F) << 6 | (text[place + 2] & 0x3F), 3
    return (
        (lead & 0x07) << 18 | (text[place + 1] & 0x3F) << 12 | (text[place + 2] & 0x3F) << 6 | (text[place + 3] & 0x3F)
    ), 4


@compiled
def start_of_character(text, place):  # type: ignore[no-untyped-def]
    """Where the character that ends before byte `place` begins."""
    place -= 1
    while text[place] & 0xC0 == 0x80:
        place -= 1
    return place


@compiled
def count_characters(text, offsets):  # type: ignore[no-untyped-def]
    """Code points of every text [rows]."""
    counts = np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(counts)):
        count = 0
        for place in range(offsets[row], offsets[row + 1]):
            count += text[place] & 0xC0 != 0x80
        counts[row] = count
    return counts
