"""The retrieval path: the documents indexed, the search and the number of passages chosen on dev rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sartor.base.console import say, warn
from sartor.choosing.brief import Brief
from sartor.choosing.budget import Share
from sartor.choosing.prompting import Prompt, Tried, best_candidate, dev_score
from sartor.data.extract import read_documents
from sartor.generation.prompted import Prompted
from sartor.generation.protocol import Generator
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.grounded import Grounded
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.search import StoreRetriever, tune_dense_weight
from sartor.retrieval.store import KnowledgeStore

NUMBERS_OF_PASSAGES = (1, 2, 3, 5)
MOST_QUESTIONS = 200  # train rows that tune the search where no dev row names its evidence
DEV_ROWS_A_TRY = 32  # passages make prompts long; a try costs more than a prompt's
ENOUGH_RECALL = 0.03  # fewer passages are taken when they find this close to what the most find


@dataclass(frozen=True)
class Library:
    """The task's documents, searchable, with the search as chosen on dev rows."""

    file: Path
    retriever: StoreRetriever
    documents: int
    chunks: int
    index_seconds: float  # to read, cut and embed what was not in the file before
    recalls: dict[int, float]  # share of dev questions whose evidence is among the first k passages; empty if unknown
    tried: list[Tried]


def build_library(brief: Brief, file: Path) -> Library:
    """Index the documents (only what changed since last time) and choose the fusion weight."""
    assert brief.task.documents is not None
    embedder = Embedder.open()
    store = KnowledgeStore(file, create=True)
    started = time.monotonic()
    report = index_folder(store, read_documents(brief.task.documents), embedder)
    index_seconds = time.monotonic() - started
    documents = len(store.fingerprints())
    say(f"{documents:,} documents indexed as {report.chunks:,} passages")
    if report.without_text:
        warn(f"documents without a passage, which can never be found: {', '.join(report.without_text)}")
    known = [row for row in brief.dev if row.evidence] or [row for row in brief.train if row.evidence][:MOST_QUESTIONS]
    questions, evidence = [row.question for row in known], [set(row.evidence) for row in known]
    fusion = tune_dense_weight(store, embedder, questions, evidence, k=max(NUMBERS_OF_PASSAGES))
    retriever = StoreRetriever(store, embedder, fusion.dense_weight)
    tried = [
        Tried(
            f"search with weight {weight:g} on meaning, {1 - weight:g} on words",
            sum(scores) / 2,
            weight == fusion.dense_weight,
        )
        for weight, scores in fusion.tried.items()
    ]
    found = recalls(retriever, questions, evidence)
    return Library(file, retriever, documents, report.chunks, index_seconds, found, tried)


def recalls(retriever: StoreRetriever, questions: Sequence[str], evidence: Sequence[set[str]]) -> dict[int, float]:
    """Share of questions with an evidence document among the first k passages."""
    if not questions:
        return {}
    found = retriever.retrieve(questions, max(NUMBERS_OF_PASSAGES))
    return {
        k: sum(
            any(passage.document_id in wanted for passage in passages[:k])
            for passages, wanted in zip(found, evidence, strict=True)
        )
        / len(questions)
        for k in NUMBERS_OF_PASSAGES
    }


def enough_passages(library: Library) -> int:
    """The fewest passages that find nearly as much as the most do; 3 where evidence is not known."""
    if not library.recalls:
        return 3
    best = max(library.recalls.values())
    return next(k for k in NUMBERS_OF_PASSAGES if library.recalls[k] >= best - ENOUGH_RECALL)


@dataclass(frozen=True)
class Retrieval:
    """How many passages, behind which prompt."""

    passages: int
    prompt: Prompt

    @property
    def setting(self) -> str:
        return f"{self.passages} passages, {self.prompt.setting}"


def fit_retrieval(
    brief: Brief, inner: Generator, library: Library, plain: Prompt, best: Prompt, share: Share, name: str
) -> tuple[Retrieval, list[Tried]]:
    """Passages and prompt with the best score on dev rows: `plain` is the instruction alone, `best` what prompting
    without documents chose."""
    enough = enough_passages(library)
    candidates = [Retrieval(enough, plain), Retrieval(1, plain)]
    if (best.instruction, best.examples) != (plain.instruction, plain.examples):
        candidates += [Retrieval(1, best), Retrieval(enough, best)]
    candidates = list(dict.fromkeys(candidates))

    def score(retrieval: Retrieval) -> float:
        prompt = retrieval.prompt
        generator = Grounded(
            Prompted(inner, prompt.instruction or None, prompt.examples), library.retriever, retrieval.passages
        )
        return dev_score(brief, generator, f"{name}: {retrieval.setting}", DEV_ROWS_A_TRY)

    return best_candidate(candidates, score, lambda retrieval: retrieval.setting, share)
