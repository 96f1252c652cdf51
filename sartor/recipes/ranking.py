"""Choosing how a knowledge store ranks, on questions whose evidence is known."""

from dataclasses import dataclass
from pathlib import Path

from sartor.base.configuration import nearest
from sartor.base.errors import DataError
from sartor.data.readers import read_rows
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.opening import open_store
from sartor.retrieval.protocol import Store
from sartor.retrieval.ranking_choice import RankingChoice, choose_ranking
from sartor.retrieval.rerank import Reranker

RECALL_AT = 5


@dataclass(frozen=True)
class AskedQuestions:
    """Questions and, for each, the documents that hold its answer."""

    questions: list[str]
    evidence: list[set[str]]


def tune_ranking(store: str, questions: Path, reranker: str | None = None) -> RankingChoice:
    """Measure every ranking on the questions and let the store rank by the best from now on.

    DataError for a row without a question, for evidence that is not in the store, and where no row names its evidence.
    """
    opened = open_store(store)
    try:
        asked = read_questions(questions, opened)
        judge = Reranker.open(reranker) if reranker else None
        embedder = Embedder.of_store(opened)
        choice = choose_ranking(opened, embedder, asked.questions, asked.evidence, RECALL_AT, judge)
        opened.set_ranking(choice.ranking)
        return choice
    finally:
        opened.close()


def read_questions(path: Path, store: Store) -> AskedQuestions:
    """Rows with `question` and `evidence`, a list of document ids; rows without evidence are left aside."""
    known = store.fingerprints()
    found = AskedQuestions([], [])
    for where, row in read_rows(path):
        question, evidence = row.get("question"), row.get("evidence") or []
        if not isinstance(question, str) or not isinstance(evidence, list):
            hint = 'write rows like {"question": "…", "evidence": ["file.md"]}'
            raise DataError("needs a question and a list of evidence", where=where, hint=hint)
        for id in evidence:
            if id not in known:
                near = nearest(str(id), known)
                hint = f"did you mean {near}?" if near else "evidence are ids of documents in the store"
                raise DataError(f"there is no document {id!r} in the store", where=where, hint=hint)
        if evidence:
            found.questions.append(question)
            found.evidence.append(set(evidence))
    if not found.questions:
        raise DataError("no question names its evidence", where=str(path), hint="add evidence: the ids of documents")
    return found
