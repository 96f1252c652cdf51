"""Sentences of a text with their places, and the words in them that carry meaning."""

import re
from functools import cache

from sartor.retrieval.query import STOP_WORDS, WORD
from sartor.retrieval.terms import Terms

END = re.compile(r"""(?<=[.!?])["'”’)\]]*\s+|(?<=[。！？])\s*|\s*\n\s*\n\s*|\s*\n(?=\s*[-*•#|]\s)""")


def sentences(text: str) -> list[tuple[int, int]]:
    """(start, end) of every sentence, in order; what is between them is white space."""
    cuts = [(0, 0), *((match.start(), match.end()) for match in END.finditer(text)), (len(text), len(text))]
    spans = []
    for (_, after), (before, through) in zip(cuts, cuts[1:], strict=False):
        end = before + len(text[before:through].rstrip())  # a closing quotation mark belongs to its sentence
        sentence = text[after:end]
        start, end = end - len(sentence.lstrip()), after + len(sentence.rstrip())
        if start < end:
            spans.append((start, end))
    return spans


@cache
def _terms() -> Terms:
    return Terms()


@cache
def _stop_terms() -> frozenset[str]:
    return frozenset(_terms().count(" ".join(sorted(STOP_WORDS))))


def meaning(text: str) -> frozenset[str]:
    """The stems of the words that are no stop words; of all words where there are only those."""
    found = frozenset(_terms().count(" ".join(WORD.findall(text))))
    return (found - _stop_terms()) or found
