"""Test questions that also stand among the rows to learn from, word for word or nearly.

Two questions are the same when they are equal once case, spacing and the marks of sentences and quotations are taken
away (`task_rows.normalised`), and nearly the same when their character 5-grams have a Jaccard similarity of at least
0.8: one letter changed in fifty (41 of 51 grams) is still above, another name in the same sentence is below.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sartor.base.errors import DataError
from sartor.data.records import Row
from sartor.data.task import Task
from sartor.data.task_rows import normalised_question

GRAM_CHARACTERS = 5
NEAR_SIMILARITY = 0.8
MOST_PAIRS_NAMED = 5
HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Leak:
    """A row to learn from and a test row that ask the same; `similarity` is 1 for exact ones."""

    learnt: Row
    test: Row
    similarity: float

    def __str__(self) -> str:
        places = f"{self.learnt.where} and {self.test.where}"
        return f"{places} ({self.similarity:.2f}): {self.learnt.question!r}, {self.test.question!r}"


@dataclass(frozen=True)
class LeakReport:
    """Pairs of rows, in the order of the test rows; exact pairs are not repeated among the near ones."""

    exact: tuple[Leak, ...]
    near: tuple[Leak, ...]

    def text(self, most_pairs: int = 5, among: str = "the rows to learn from") -> str:
        """What was found, for people; at most `most_pairs` pairs of each kind are shown."""
        if not self.exact and not self.near:
            return f"No test question stands among {among}, exactly or nearly."
        kinds = ((self.exact, "word for word"), (self.near, f"nearly (similarity from {NEAR_SIMILARITY})"))
        return "\n".join(line for pairs, how in kinds for line in _lines(pairs, f"{how} among {among}", most_pairs))


@dataclass(frozen=True)
class Contamination:
    """Rows to learn from that ask what test rows ask: how many word for word, how many nearly, and the first pairs."""

    exact: int
    near: int
    pairs: tuple[str, ...]


def contamination(
    asked: Sequence[tuple[str, str]], test: Sequence[Row], near_similarity: float = NEAR_SIMILARITY
) -> Contamination:
    """Compare what rows to learn from ask, as (text normalised, where the row stands), with test rows."""
    test_texts = [normalised_question(row.messages) for row in test]
    exact: set[int] = set()
    near: set[int] = set()
    pairs: list[str] = []
    for index, test_index, similarity in similar_pairs([text for text, _ in asked], test_texts, near_similarity):
        (exact if asked[index][0] == test_texts[test_index] else near).add(index)
        if len(pairs) < MOST_PAIRS_NAMED:
            pairs.append(f"{asked[index][1]} and {test[test_index].where} ({similarity:.2f})")
    return Contamination(len(exact), len(near - exact), tuple(pairs))


def check_leaks(task: Task) -> LeakReport:
    """Compare train and dev questions with test questions. DataError when most of the test is known."""
    report = find_leaks([*task.train, *task.dev], task.test)
    refuse_known_test(report, len(task.test), "train", "the train or dev rows")
    return report


def refuse_known_test(report: LeakReport, num_test: int, learnt: str, among: str) -> None:
    """DataError when most of `num_test` test questions stand word for word `among` what is learnt from."""
    known = {leak.test.id for leak in report.exact}
    if 2 * len(known) > num_test:
        raise DataError(
            f"test inside {learnt}: {len(known):,} of {num_test:,} test questions stand in {among}",
            where=f"{report.exact[0].test.where}, question",
            hint=f"first seen in {report.exact[0].learnt.where}: test on questions that nothing learns from",
        )


def without_leaks(rows: Sequence[Row], report: LeakReport) -> list[Row]:
    """`rows` without those that ask a test question word for word. Test rows are never touched."""
    known = {normalised_question(leak.test.messages) for leak in report.exact}
    return [row for row in rows if normalised_question(row.messages) not in known]


def find_leaks(
    learnt: Sequence[Row], test: Sequence[Row], near_similarity: float = NEAR_SIMILARITY
) -> LeakReport:
    """All exact pairs, and all others whose similarity is at least `near_similarity`."""
    texts = [normalised_question(row.messages) for row in learnt]
    test_texts = [normalised_question(row.messages) for row in test]
    exact: list[Leak] = []
    near: list[Leak] = []
    for index, test_index, similarity in similar_pairs(texts, test_texts, near_similarity):
        same = texts[index] == test_texts[test_index]
        (exact if same else near).append(Leak(learnt[index], test[test_index], similarity))
    return LeakReport(tuple(exact), tuple(near))


def similar_pairs(
    texts: Sequence[str], queries: Sequence[str], least: float
) -> Iterator[tuple[int, int, float]]:
    """`(text index, query index, Jaccard similarity of their 5-gram sets)` for pairs at or above `least` > 0.

    Exact, by an inverted index from grams to texts: time is the sum over queries of how many texts share each
    gram, memory 12 bytes a gram of all texts.
    """
    if not texts:
        return
    text_grams = [_grams(text) for text in texts]
    sizes = np.array([len(grams) for grams in text_grams])
    owners = np.repeat(np.arange(len(texts), dtype=np.int32), sizes)
    hashes = np.concatenate(text_grams)
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    for index, query in enumerate(queries):
        grams = _grams(query)
        starts, ends = np.searchsorted(hashes, grams, "left"), np.searchsorted(hashes, grams, "right")
        shared_owners = np.concatenate([owners[a:b] for a, b in zip(starts, ends, strict=True)])
        common = np.bincount(shared_owners, minlength=len(texts))
        similarity = common / (sizes + len(grams) - common)
        for text_index in np.flatnonzero(similarity >= least):
            yield int(text_index), index, float(similarity[text_index])


def _grams(text: str) -> np.ndarray:
    """uint64[n]: hashes of the set of character 5-grams; a shorter text is padded to one gram."""
    encoded = text.ljust(GRAM_CHARACTERS).encode("utf-32-le", "surrogatepass")
    characters = np.frombuffer(encoded, dtype=np.uint32)
    windows = np.lib.stride_tricks.sliding_window_view(characters, GRAM_CHARACTERS)
    hashes = np.zeros(len(windows), dtype=np.uint64)
    for column in windows.T:
        hashes = (hashes + column) * HASH_FACTOR
        hashes ^= hashes >> np.uint64(29)
    return np.unique(hashes)


def _lines(pairs: Iterable[Leak], how: str, most: int) -> Iterator[str]:
    pairs = list(pairs)
    if not pairs:
        return
    tests = len({leak.test.id for leak in pairs})
    yield f"{tests:,} test questions stand {how} ({len(pairs):,} pairs)."
    yield from (f"  {leak}" for leak in pairs[:most])
    if len(pairs) > most:
        yield f"  and {len(pairs) - most:,} more pairs"
