"""What a search needs in memory beside the file: the matrix of vectors, and the chunks of the words asked for.

All of it is derived from one committed state of the store and thrown away when the file changes.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sartor.retrieval.fusion import Candidates
from sartor.retrieval.query import search_words
from sartor.retrieval.schema import VECTOR_TYPE

SCORES_AT_A_TIME = 10_000_000
"""Queries are compared with all chunks in blocks of so many scores (40 MB)."""

ROWS_AT_A_TIME = 8192
WORD_BYTES = 128_000_000
"""The words asked for last are kept up to this size: of 100,000 chunks all that questions ask for."""


@dataclass(frozen=True)
class Vectors:
    """Chunk ids int64 [n], ascending; the number of each one's document int64 [n]; its vector float32 [n, dimension].

    4 bytes a number: on a CPU a product with 100,000 vectors takes 15 ms so, and 17 to 24 in bfloat16.
    """

    ids: np.ndarray
    documents: np.ndarray
    matrix: np.ndarray

    @staticmethod
    def read(connection: sqlite3.Connection, dimension: int, before: "Vectors | None") -> "Vectors":
        """All chunks of the store; the rows that `before` has are taken from there (ids are never given twice)."""
        # The index holds these columns alone: reading the table would read all texts.
        rows = connection.execute("SELECT id, document, vector FROM chunks INDEXED BY chunks_by_vector").fetchall()
        table = np.array(rows, dtype=np.int64).reshape(len(rows), 3)
        table = table[np.argsort(table[:, 0])]
        ids = np.ascontiguousarray(table[:, 0])
        matrix = np.empty((len(ids), dimension), dtype=np.float32)
        old = np.zeros(len(ids), dtype=bool)
        if before is not None and before.matrix.shape[1] == dimension:
            _, here, there = np.intersect1d(ids, before.ids, assume_unique=True, return_indices=True)
            matrix[here] = before.matrix[there]
            old[here] = True
        new = np.flatnonzero(~old)
        for first in range(0, len(new), ROWS_AT_A_TIME):
            some = new[first : first + ROWS_AT_A_TIME]
            select = "SELECT vector FROM vectors WHERE id = ?"
            blobs = [connection.execute(select, (id,)).fetchone()[0] for id in table[some, 2].tolist()]
            matrix[some] = np.frombuffer(b"".join(blobs), dtype=VECTOR_TYPE).reshape(len(some), dimension)
        return Vectors(ids, np.ascontiguousarray(table[:, 1]), matrix)


class WordScores:
    """Which chunks hold a word, and what BM25 gives each of them for it, as FTS5 computes it (k1 1.2, b .75).

    BM25 of a question is the sum over its words, so each word is read once: common ones, which are slow to read
    (1.3 microseconds a chunk), are asked for again and again.
    """

    def __init__(self, ids: np.ndarray):
        self._ids, self._size = ids, 0
        self._words: OrderedDict[str, tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def scores(self, connection: sqlite3.Connection, words: Sequence[str]) -> np.ndarray:
        """float64 [chunks]: the BM25 of each chunk, 0 where no word is found."""
        total = np.zeros(len(self._ids))
        for word in words:
            rows, scores = self._of(connection, word)
            total[rows] += scores
        return total

    def _of(self, connection: sqlite3.Connection, word: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows int32 and scores float64 of one word."""
        if word in self._words:
            self._words.move_to_end(word)
            return self._words[word]
        select = "SELECT rowid, -bm25(full_text) FROM full_text WHERE full_text MATCH ?"
        found = connection.execute(select, (f'"{word}"',)).fetchall()
        table = np.array(found, dtype=np.float64).reshape(len(found), 2)
        rows = np.searchsorted(self._ids, table[:, 0].astype(np.int64)).astype(np.int32)
        kept = (rows, np.ascontiguousarray(table[:, 1]))
        self._words[word] = kept
        self._size += _bytes(kept)
        while self._size > WORD_BYTES and len(self._words) > 1:
            self._size -= _bytes(self._words.popitem(last=False)[1])
        return kept


def candidates(
    connection: sqlite3.Connection,
    vectors: Vectors,
    words: WordScores,
    queries: Sequence[str],
    asked: np.ndarray,
    depth: int,
    allowed: np.ndarray | None,
) -> list[Candidates]:
    """As `Store.candidates`: `asked` is float32 [queries, dimension], `allowed` the numbers of the documents that the
    filter lets through (None: all).
    """
    rows = None if allowed is None else np.flatnonzero(np.isin(vectors.documents, allowed))
    ids = vectors.ids if rows is None else vectors.ids[rows]
    if not len(ids):
        return [Candidates(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))] * len(queries)
    found = []
    block = max(1, SCORES_AT_A_TIME // len(vectors.ids))
    for first in range(0, len(queries), block):
        cosines = asked[first : first + block] @ vectors.matrix.T  # [queries, chunks]
        for query, cosine in zip(queries[first : first + block], cosines, strict=True):
            lexical = words.scores(connection, search_words(query))
            if rows is not None:
                cosine, lexical = cosine[rows], lexical[rows]
            matching = np.flatnonzero(lexical)
            chosen = np.union1d(highest(cosine, depth), matching[highest(lexical[matching], depth)])
            found.append(Candidates(ids[chosen], lexical[chosen], cosine[chosen]))
    return found


def highest(scores: np.ndarray, count: int) -> np.ndarray:
    """Where the `count` highest scores are, of equal ones the first, in ascending order."""
    if count >= len(scores):
        return np.arange(len(scores))
    last = np.partition(scores, len(scores) - count)[len(scores) - count]
    above = np.flatnonzero(scores > last)
    return np.sort(np.concatenate([above, np.flatnonzero(scores == last)[: count - len(above)]]))


def _bytes(kept: tuple[np.ndarray, np.ndarray]) -> int:
    return kept[0].nbytes + kept[1].nbytes + 200
