"""Which passages hold the answer to a row: what a search is measured by, and what a reference path is given."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sartor.data.records import Row
from sartor.data.task_rows import normalised
from sartor.generation.protocol import Passage

PassagesOf = Callable[[str], list[Passage]]
"""The id of a document to its passages; none for a document that is not there."""


def gold_passages(row: Row, passages_of: PassagesOf) -> list[Passage]:
    """The passages of the row's evidence that hold an accepted answer word for word; where none does (an answer may be
    in other words), all of them. Empty where no evidence is named, or none of it is among the documents."""
    known = [passage for document in dict.fromkeys(row.evidence) for passage in passages_of(document)]
    return [passage for passage in known if holds(passage.text, row.answers)] or known


def holds(text: str, answers: Sequence[str]) -> bool:
    """Whether a text has one of the answers as a run of whole words; case, punctuation and spacing do not count."""
    words = f" {normalised(text)} "
    return any(f" {normalised(answer)} " in words for answer in answers if answer.strip())


def found_gold(
    passages: Sequence[Mapping[str, Any]], evidence: Collection[str], answers: Sequence[str], word_for_word: bool
) -> bool:
    """Whether gold is among recorded passages. `word_for_word` says that gold passages hold an answer as it is written;
    else any passage of the evidence counts."""
    return any(
        passage["document_id"] in evidence and (not word_for_word or holds(passage["text"], answers))
        for passage in passages
    )
