"""Documents into a knowledge file, and questions to it."""

from collections.abc import Sequence
from pathlib import Path

from sartor.data.extract import read_documents
from sartor.generation.protocol import Passage, Sampling
from sartor.models.starter import fetch
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.grounded import Answer, ask
from sartor.retrieval.indexing import IndexReport, index_folder
from sartor.retrieval.path import open_model, open_retriever
from sartor.retrieval.search import StoreRetriever
from sartor.retrieval.store import KnowledgeStore

INSTRUCTION = "Answer the question from the passages. If they do not hold the answer, say that you do not know."


def index(documents: Path, file: Path) -> IndexReport:
    """Bring the knowledge file up to date with the documents; only what changed is embedded."""
    found = list(read_documents(documents))
    if file.exists():
        KnowledgeStore(file, create=True).close()  # refuse a file of another kind before a model is fetched
    embedder = Embedder(fetch("minilm"))
    with KnowledgeStore(file, create=True) as store:
        return index_folder(store, found, embedder)


def search(file: Path, queries: Sequence[str], k: int, dense_weight: float) -> list[list[Passage]]:
    """The best passages for each query."""
    return open_retriever(file, dense_weight).retrieve(queries, k)


def answer(retriever: StoreRetriever, question: str, model: str, k: int, sampling: Sampling) -> Answer:
    """One question answered from the documents by a model, with citations."""
    return ask(open_model(model).generator, retriever, question, k, sampling, INSTRUCTION)
