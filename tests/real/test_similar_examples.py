"""On real questions the nearest rows are mostly of the same kind: what makes similar examples worth their tokens."""

from pathlib import Path

from sartor.data.task import Task
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.search import StoreRetriever
from sartor.retrieval.similar_examples import DENSE_WEIGHT, SimilarExamples, build_examples, rows_of_one_group
from sartor.retrieval.store import KnowledgeStore


def test_most_bank_questions_have_their_intent_among_the_four_nearest_rows(
    real_data: Path, minilm_model: Path, tmp_path: Path
) -> None:
    task = Task.load(real_data / "tasks/banking")
    embedder = Embedder(minilm_model)
    build_examples(task.train, tmp_path / "examples.sqlite", embedder)
    retriever = StoreRetriever(KnowledgeStore(tmp_path / "examples.sqlite"), embedder, DENSE_WEIGHT)
    similar = SimilarExamples(retriever, 4, rows_of_one_group(task.dev, task.train))
    found = [[answer for _, answer in similar.examples_for(row.messages)] for row in task.dev]
    intents = [row.answers[0] for row in task.dev]
    assert sum(intent in shown for intent, shown in zip(intents, found, strict=True)) > 0.93 * len(intents)
    assert sum(intent == shown[-1] for intent, shown in zip(intents, found, strict=True)) > 0.83 * len(intents)
