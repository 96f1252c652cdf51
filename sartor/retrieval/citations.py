"""Which sentence of which passage an answer rests on: by the marks it holds, or by the words they share.

Only what was retrieved can be cited: marks with other numbers are no citations.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sartor.generation.protocol import Passage
from sartor.retrieval.sentences import meaning, sentences

MARK = re.compile(r"\[(\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\]")
ENOUGH_SHARED = 0.5
"""A sentence supports a claim when it holds at least this share of the claim's words."""


@dataclass(frozen=True)
class Citation:
    """A place in a document that supports the answer: `text` is `document.text[start:end]`.

    `number` counts the passages from 1. `exact` says that a sentence could be told by its words; else it is the whole
    passage. `added` says that the answer did not cite it itself: it was found by the words it shares with the answer.
    """

    number: int
    chunk_id: str
    document_id: str
    start: int
    end: int
    text: str
    exact: bool
    added: bool


def cite(answer: str, passages: Sequence[Passage], question: str = "") -> list[Citation]:
    """The citations of an answer in order of their first mark, each place once; where it holds no valid mark, those
    that its sentences' words give away (`added`), if any."""
    claims = [answer[start:end] for start, end in _claims(answer)]
    marked = [
        _in_passage(claim, question, number, passages[number - 1])
        for claim in claims
        for number in _numbers(claim)
        if 1 <= number <= len(passages)
    ]
    found = marked or [citation for claim in claims if (citation := _by_words(claim, passages, question))]
    return list({(each.number, each.start, each.end): each for each in reversed(found)}.values())[::-1]


def _claims(answer: str) -> list[tuple[int, int]]:
    """Sentences; one that holds nothing but marks belongs to the one before it."""
    spans: list[tuple[int, int]] = []
    for start, end in sentences(answer):
        if spans and not meaning(MARK.sub("", answer[start:end])):
            spans[-1] = (spans[-1][0], end)
        else:
            leading = MARK.match(answer, start)
            if spans and leading:  # "… days. [1] Then …": the mark stands behind the sentence that it is for
                spans[-1] = (spans[-1][0], leading.end())
                start = leading.end()
            spans.append((start, end))
    return spans


def _numbers(text: str) -> list[int]:
    return [int(number) for mark in MARK.findall(text) for number in re.findall(r"\d+", mark)]


def _in_passage(claim: str, question: str, number: int, passage: Passage) -> Citation:
    """The sentence of this passage that supports the claim, else the passage."""
    best = _best(claim, passage.text, question)
    if best is None or best[0] < ENOUGH_SHARED:
        return _citation(number, passage, 0, len(passage.text), exact=False, added=False)
    return _citation(number, passage, *best[2], exact=True, added=False)


def _by_words(claim: str, passages: Sequence[Passage], question: str) -> Citation | None:
    """The sentence of all passages that shares most with the claim, if that is enough; the earlier wins a tie."""
    scored = [(_best(claim, passage.text, question), number) for number, passage in enumerate(passages, 1)]
    found = [(best, number) for best, number in scored if best is not None]
    if not found:
        return None
    best, number = max(found, key=lambda each: (each[0][:2], -each[1]))
    if best[0] < ENOUGH_SHARED:
        return None
    return _citation(number, passages[number - 1], *best[2], exact=True, added=True)


def _best(claim: str, text: str, question: str) -> tuple[float, float, tuple[int, int]] | None:
    """Of the text's sentences the one that holds most of the claim's words, then of the question's; the first of
    equals. (share of the claim, share of the question, place)"""
    wanted, asked = meaning(MARK.sub("", claim)), meaning(question)
    if not wanted:
        return None
    scored = []
    for start, end in sentences(text):
        words = meaning(text[start:end])
        context = len(asked & words) / len(asked) if asked else 0.0
        scored.append((len(wanted & words) / len(wanted), context, (start, end)))
    return max(scored, key=lambda each: (each[0], each[1], -each[2][0]), default=None)


def _citation(number: int, passage: Passage, start: int, end: int, exact: bool, added: bool) -> Citation:
    return Citation(
        number,
        passage.chunk_id,
        passage.document_id,
        passage.start + start,
        passage.start + end,
        passage.text[start:end],
        exact,
        added,
    )
