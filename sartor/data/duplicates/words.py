"""The words of many texts at once, each as a 64-bit number: what n-grams are made of.

This file alone says what a word is when texts are compared: a run of letters, digits, combining marks and
underscores of the text in Unicode NFKC, without regard to case. In scripts that put no spaces between words every
character is a word. Punctuation and spacing only separate words.

Numbers depend on the text alone: not on the machine, the process, or the texts beside it. (A character that the
running Python's Unicode tables do not know yet separates words.)
"""

import functools
import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sartor.data.unspaced import UNSPACED

BLOCK_CHARACTERS = 1 << 18  # worked on at once: a few arrays of this size stay in the second-level cache
PIECE_CHARACTERS = 1 << 20  # longer texts are cut between words, so that one book does not need memory of its own
LONGEST_WORD_BYTES = 64  # longer ones (encoded files, mostly) are hashed one by one
TABLE_SIZE = 0x40000  # every letter that Unicode has lies below
END_OF_TEXT = 1  # a control character: it separates words, so that no word holds it

FIRST_FACTOR = np.uint64(0xFF51AFD7ED558CCD)
SECOND_FACTOR = np.uint64(0xC4CEB9FE1A85EC53)
PART_FACTOR = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(33)


@dataclass(frozen=True)
class Hashes:
    """Numbers of many texts: those of text i are `values[starts[i] : starts[i + 1]]`, in the text's order."""

    values: np.ndarray  # uint64[numbers]
    starts: np.ndarray  # int64[texts + 1]

    @property
    def counts(self) -> np.ndarray:
        """int64[texts]"""
        return np.diff(self.starts)

    def owners(self) -> np.ndarray:
        """int64[numbers]: which text each number belongs to."""
        return np.repeat(np.arange(len(self.starts) - 1), self.counts)

    def of_texts(self, begin: int, end: int) -> "Hashes":
        """Those of texts `begin` to `end`."""
        starts = self.starts[begin : end + 1]
        return Hashes(self.values[starts[0] : starts[-1]], starts - starts[0])


def word_hashes(texts: Sequence[str]) -> Hashes:
    """A number for each word of each text; equal words have equal ones, others differ but for 1 pair in 2**64."""
    parts: list[np.ndarray] = []
    counts = np.zeros(len(texts), np.int64)
    for owners, pieces in _blocks(texts):
        buffer, ends = _folded(pieces)
        values, starts = _hashes_of_runs(buffer)
        parts.append(values)
        np.add.at(counts, owners, np.diff(np.searchsorted(starts, ends), prepend=0))
    values = np.concatenate(parts) if parts else np.empty(0, np.uint64)
    return Hashes(values, np.concatenate([[0], np.cumsum(counts)]))


def mix(values: np.ndarray) -> np.ndarray:
    """Spread every bit over all 64 bits, one to one (the finaliser of MurmurHash3)."""
    values = (values ^ (values >> SHIFT)) * FIRST_FACTOR
    values ^= values >> SHIFT
    values *= SECOND_FACTOR
    values ^= values >> SHIFT
    return values


def _blocks(texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
    """Consecutive pieces of texts, with the text that each belongs to, of about BLOCK_CHARACTERS together."""
    owners: list[int] = []
    pieces: list[str] = []
    size = 0
    for index, text in enumerate(texts):
        for piece in _pieces(text if text.isascii() else unicodedata.normalize("NFKC", text)):
            if pieces and size + len(piece) > BLOCK_CHARACTERS:
                yield owners, pieces
                owners, pieces, size = [], [], 0
            owners.append(index)
            pieces.append(piece)
            size += len(piece)
    if pieces:
        yield owners, pieces


def _pieces(text: str) -> Iterator[str]:
    """Cut a long text after a space or at the end of a line; where there is none, after PIECE_CHARACTERS."""
    begin = 0
    while len(text) - begin > PIECE_CHARACTERS:
        limit = begin + PIECE_CHARACTERS
        end = max(text.rfind(" ", begin, limit), text.rfind("\n", begin, limit)) + 1 or limit
        yield text[begin:end]
        begin = end
    yield text[begin:] if begin else text


def _folded(pieces: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """uint8[bytes]: folded words in UTF-8 with bytes 0 and 1 between them; int64[pieces]: where each piece ends."""
    joined = "\x01".join(pieces) + "\x01"
    ends = np.cumsum([len(piece) + 1 for piece in pieces]) - 1
    if joined.isascii():
        return np.frombuffer(joined.encode().translate(_ascii_table()), np.uint8), ends
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
    codes = _table()[np.minimum(codes, TABLE_SIZE - 1)]
    codes[ends] = END_OF_TEXT
    folded = _spaced(codes).tobytes().decode("utf-32-le").encode()
    buffer = np.frombuffer(folded, np.uint8)
    return np.where(buffer == END_OF_TEXT, np.uint8(0), buffer), np.flatnonzero(buffer == END_OF_TEXT)


def _spaced(codes: np.ndarray) -> np.ndarray:
    """The code points with a separator before and behind every character that is a word of its own."""
    alone = np.zeros(len(codes), bool)
    for first, last in UNSPACED:
        alone |= (codes >= first) & (codes <= last)
    if not alone.any():
        return codes
    places = np.cumsum(1 + 2 * alone) - 1  # where the last of a character's one or three copies stands
    spaced = np.zeros(places[-1] + 1, "<u4")
    spaced[places - alone] = codes
    return spaced


def _hashes_of_runs(buffer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint64[words] of the runs of bytes other than 0, and int64[words], where they start. The last byte is 0."""
    inside = np.concatenate([[False], buffer != 0])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    padded = np.concatenate([buffer, np.zeros(8, np.uint8)])
    eights = np.ndarray(len(buffer), "<u8", padded, strides=(1,))  # the 8 bytes from every place on
    values = lengths.astype(np.uint64) * PART_FACTOR
    places = np.flatnonzero(lengths <= LONGEST_WORD_BYTES)
    at, left = starts[places], lengths[places]
    while len(places):
        masks = np.uint64(0xFFFFFFFFFFFFFFFF) >> (8 * (8 - np.minimum(left, 8))).astype(np.uint64)
        values[places] = mix(values[places] ^ (eights[at] & masks)) * PART_FACTOR
        longer = left > 8
        places, at, left = places[longer], at[longer] + 8, left[longer] - 8
    for place in np.flatnonzero(lengths > LONGEST_WORD_BYTES):
        word = buffer[starts[place] : starts[place] + lengths[place]].tobytes()
        values[place] = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
    return mix(values), starts


@functools.cache
def _table() -> np.ndarray:
    """uint32[TABLE_SIZE]: the folded code point of characters of words, 0 for all others."""
    table = np.zeros(TABLE_SIZE, "<u4")
    for code in range(TABLE_SIZE):
        character = chr(code)
        if character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M":
            folded = character.casefold()
            table[code] = ord(folded if len(folded) == 1 else character.lower()[0])
    return table


@functools.cache
def _ascii_table() -> bytes:
    """What stands for each ASCII character, as `bytes.translate` takes it."""
    return bytes(_table()[:128].astype(np.uint8)) + bytes(128)
