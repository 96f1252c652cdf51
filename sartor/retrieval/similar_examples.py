"""Worked examples that resemble a question: k-shot by similarity.

The rows to learn from are kept in a knowledge file of their own, one passage a row, so they are searched as documents
are: by meaning and by words, exactly.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from sartor.base.console import warn
from sartor.data.extract import make_document
from sartor.data.records import Conversation, Row
from sartor.data.task_rows import normalised
from sartor.generation.prompted import WorkedExample
from sartor.retrieval.chunking import Chunk
from sartor.retrieval.protocol import Store, TextEmbedder
from sartor.retrieval.search import StoreRetriever
from sartor.retrieval.store import KnowledgeStore, Prepared

DENSE_WEIGHT = 0.9
"""Measured: the first row found has the answer of the question in 88 of 100 questions of banking77 and the intent of 95
of 100 of SNIPS; with meaning alone 88 and 93, with .7 78 and 92, with words alone 65 and 85."""

ANSWER = "answer"
CUT = "a row a passage"
ROWS_A_TRANSACTION = 1024


class SimilarExamples:
    """The `number` rows of a store that are most like the question, the most similar last, next to the question.

    `left_out` names for a question the ids of rows that must not be shown with it: itself, and those of its group.
    A question is searched for alone, so that it finds the same rows in a batch as when it is served.
    """

    def __init__(
        self,
        retriever: StoreRetriever,
        number: int,
        left_out: Mapping[str, Collection[str]] | None = None,
    ):
        self.retriever, self.number, self.left_out = retriever, number, left_out or {}

    def examples_for(self, conversation: Conversation) -> tuple[WorkedExample, ...]:
        """Examples for what the user said last; none where the user never spoke."""
        question = next((each["content"] for each in reversed(conversation) if each["role"] == "user"), None)
        if question is None:
            return ()
        unwanted = self.left_out.get(question, ())
        store = self.retriever.store
        with store.reading():  # the rows found and their answers belong to one state of the file
            (found,) = self.retriever.retrieve([question], self.number + len(unwanted))
            ids = [passage.document_id for passage in found if passage.document_id not in unwanted]
            return tuple(_example(store, id) for id in reversed(ids[: self.number]))


def _example(store: Store, document_id: str) -> WorkedExample:
    document = store.document(document_id)
    assert document is not None
    return document.text, str(document.metadata[ANSWER])


def example_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows that can be shown as an example: one question and its answer. Dialogues are none."""
    return [row for row in rows if len(row.messages) == 1 and row.question.strip() and row.answers[0].strip()]


def build_examples(rows: Sequence[Row], file: Path, embedder: TextEmbedder) -> None:
    """Make `file` hold these rows that can be an example, unless it does already; a killed run goes on with what is
    missing. One that cannot be stored (text that is no Unicode) is told of and left out."""
    with KnowledgeStore(file, create=True) as store:
        documents = {row.id: make_document(row.id, "", row.question, metadata={ANSWER: row.answers[0]})
                     for row in _storable(example_rows(rows))}  # fmt: skip
        kept = store.fingerprints()
        new = [each for each in documents.values() if kept.get(each.id) != (each.sha256, CUT)]
        for first in range(0, len(new), ROWS_A_TRANSACTION):
            some = new[first : first + ROWS_A_TRANSACTION]
            vectors = np.asarray(embedder.embed([each.text for each in some]))
            store.write(
                [
                    Prepared(each, [Chunk(0, len(each.text), each.text, "")], vectors[place : place + 1], CUT)
                    for place, each in enumerate(some)
                ],
                embedder,
            )
        gone = [id for id in kept if id not in documents]
        if gone:
            store.remove(gone)


def _storable(rows: Sequence[Row]) -> list[Row]:
    kept = [row for row in rows if _is_unicode(row.question) and _is_unicode(row.answers[0])]
    if len(kept) < len(rows):
        warn(f"{len(rows) - len(kept)} rows are no examples: their text is no valid Unicode")
    return kept


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def rows_of_one_group(asked: Sequence[Row], rows: Sequence[Row]) -> dict[str, frozenset[str]]:
    """For each question asked the ids of `rows` that are of its group, or ask the very same."""
    by_group: dict[str, set[str]] = {}
    by_question: dict[str, set[str]] = {}
    for row in rows:
        by_group.setdefault(row.group, set()).add(row.id)
        by_question.setdefault(normalised(row.question), set()).add(row.id)
    found: dict[str, frozenset[str]] = {}
    for row in asked:
        own = by_group.get(row.group, set()) | by_question.get(normalised(row.question), set())
        found[row.question] = found.get(row.question, frozenset()) | own
    return found
