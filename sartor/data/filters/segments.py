"""Cutting long documents into pieces at the best place there is: before a heading, after a paragraph or sentence.

Nothing is lost: the pieces of a document, one after the other, are its text.
"""

import re
from collections.abc import Iterator

import pyarrow as pa

from sartor.base.errors import UsageError
from sartor.data.documents import SCHEMA, TEXT, text_hash

MIN_CHARACTERS = 100
PIECE_MARK = "##"
"""Between a document's id and the number of a piece; a single # is between a file's name and the number of a row."""
# What a piece may end with, the best first. A piece is at least half full.
BREAKS = (
    re.compile(r"\n+(?=#{1,6} \S)|\n{3,}|\f"),  # before a heading; several blank lines
    re.compile(r"\n[ \t]*\n+"),  # after a paragraph
    re.compile(r"\n"),
    re.compile(r"[.!?…][\"'”’)\]»]*[ \t]+|[。！？]"),  # after a sentence; what follows is not looked at
    re.compile(r"\s+"),
)
MARKS = re.compile(
    r"[\u0300-\u036f\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]"
)  # what belongs to the character before it


def segment(documents: pa.Table, max_characters: int) -> pa.Table:
    """The documents with those longer than `max_characters` cut into pieces of at most that many.

    A piece has its document's other columns, and the id `ID##0001`, counted from one. Pieces are as long as the
    structure allows. Shorter documents stay as they are, id included. UsageError for a limit below MIN_CHARACTERS.
    """
    if max_characters < MIN_CHARACTERS:
        raise UsageError(f"pieces of {max_characters} characters are too short", hint=f"at least {MIN_CHARACTERS}")
    rows: list[int] = []
    ids: list[str] = []
    texts: list[str] = []
    hashes: list[str] = []
    for row in range(documents.num_rows):
        name, text = documents["id"][row].as_py(), documents["text"][row].as_py()
        pieces = list(cut(text, max_characters))
        whole = len(pieces) == 1
        rows += [row] * len(pieces)
        ids += [name] if whole else [f"{name}{PIECE_MARK}{number:04}" for number in range(1, len(pieces) + 1)]
        texts += pieces
        hashes += [documents["sha256"][row].as_py()] if whole else map(text_hash, pieces)
    table = documents.drop_columns(["text"]).take(pa.array(rows, pa.int64()))
    for name, values in (("text", texts), ("id", ids), ("sha256", hashes)):
        array = pa.array(values, TEXT)
        table = table.append_column(name, array) if name == "text" else _set(table, name, array)
    return table.select(documents.schema.names).cast(documents.schema)


def whole_id(id: str) -> str:
    """The id of the document that a piece was cut from; of what is no piece, its own."""
    return id.partition(PIECE_MARK)[0]


def cut(text: str, max_characters: int) -> Iterator[str]:
    """The text's pieces, each of at most `max_characters`; a short text, and an empty one, is one piece."""
    start = 0
    while len(text) - start > max_characters:
        end = _best_end(text, start, start + max_characters)
        yield text[start:end]
        start = end
    yield text[start:]


def _best_end(text: str, start: int, limit: int) -> int:
    """Where a piece from `start` ends: the last of the best breaks in its second half."""
    middle = start + (limit - start) // 2
    for pattern in BREAKS:
        end = 0
        for match in pattern.finditer(text, middle, limit):
            end = match.end()
        if end > middle:
            return end
    end = limit
    while end > middle and (MARKS.match(text, end) or text[end - 1] == "\u200d"):
        end -= 1  # no character is parted from its accents
    return end if end > middle else limit


def _set(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), SCHEMA.field(name), values)
