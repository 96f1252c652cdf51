"""Retrieval on real questions: encyclopedia paragraphs, MiniLM, each question's evidence known."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sartor.data.extract import read_documents
from sartor.data.ranking_measures import recall, reciprocal_rank
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.fusion import DEFAULT_DENSE_WEIGHT
from sartor.retrieval.indexing import IndexReport, index_folder
from sartor.retrieval.search import search, tune_dense_weight
from sartor.retrieval.store import KnowledgeStore

Questions = tuple[list[str], list[list[str]]]


@pytest.fixture(scope="module")
def minilm(request: pytest.FixtureRequest) -> Path:
    """The embedder's folder: SARTOR_MINILM, else the fetched starter model."""
    named = os.environ.get("SARTOR_MINILM")
    return Path(named) if named else request.getfixturevalue("minilm_model")


@pytest.fixture(scope="module")
def embedder(minilm: Path) -> Embedder:
    return Embedder(minilm)


@pytest.fixture(scope="module")
def encyclopedia(real_data: Path) -> Path:
    return real_data / "tasks" / "encyclopedia"


@pytest.fixture(scope="module")
def store(encyclopedia: Path, embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> KnowledgeStore:
    store = KnowledgeStore(tmp_path_factory.mktemp("store") / "encyclopedia.sqlite", create=True)
    report = index_folder(store, read_documents(encyclopedia / "documents"), embedder)
    assert report == IndexReport(294, 0, 0, 0, report.chunks, (), report.embedded) and 294 < report.chunks < 500
    assert 294 <= report.embedded <= report.chunks  # a text that comes twice is embedded once
    return store


def questions(file: Path) -> Questions:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [row["question"] for row in rows], [row["evidence"] for row in rows]


def measure(store: KnowledgeStore, embedder: Embedder, asked: Questions, weight: float) -> dict[str, float]:
    """Recall@1, 3, 5 and MRR@10 over documents, each counted at its first passage."""
    texts, evidence = asked
    found = search(store, embedder, texts, 20, weight)
    rankings = [list(dict.fromkeys(passage.document_id for passage in passages)) for passages in found]
    figures = {
        f"R@{k}": float(
            np.mean([recall(ranking, known, k) for ranking, known in zip(rankings, evidence, strict=True)])
        )
        for k in (1, 3, 5)
    }
    ranks = [reciprocal_rank(ranking, known) for ranking, known in zip(rankings, evidence, strict=True)]
    return figures | {"MRR@10": float(np.mean(ranks))}


def test_recall_on_the_test_questions(store, embedder, encyclopedia):
    choice = tune_dense_weight(store, embedder, *questions(encyclopedia / "train.jsonl"), k=3)
    asked = questions(encyclopedia / "test.jsonl")
    weights = {"full text": 0.0, "vectors": 1.0, "fused": DEFAULT_DENSE_WEIGHT, "tuned": choice.dense_weight}
    figures = {name: measure(store, embedder, asked, weight) for name, weight in weights.items()}
    for name, measured in figures.items():
        print(
            f"{name:9} {weights[name]:.1f}  "
            + "  ".join(f"{key} {value:.3f}" for key, value in measured.items())
        )
    assert figures["full text"]["R@5"] >= 0.94 and figures["full text"]["MRR@10"] >= 0.86
    assert figures["vectors"]["R@5"] >= 0.88 and figures["vectors"]["MRR@10"] >= 0.72
    for name in ("fused", "tuned"):
        assert figures[name]["R@5"] >= 0.955 and figures[name]["MRR@10"] >= 0.89
        assert figures[name]["MRR@10"] > max(figures["full text"]["MRR@10"], figures["vectors"]["MRR@10"])


PUBLISHED = [
    [0.0676569, 0.0634959, 0.0487131, 0.0793050, 0.0374480, 0.0026528, 0.0393750, -0.0070984],
    [0.0864386, 0.1027626, 0.0053945, 0.0020444, -0.0099634, 0.0253855, 0.0492875, -0.0306265],
]
"""How sentence-transformers' vectors of this model begin for the sentences of the model card's example."""


def test_vectors_are_those_of_sentence_transformers(minilm):
    sentences = ["This is an example sentence", "Each sentence is converted"]
    exact = Embedder(minilm, dtype=torch.float32).embed(sentences)
    np.testing.assert_allclose(exact[:, :8], PUBLISHED, atol=2e-6)
    assert (Embedder(minilm, dtype=torch.bfloat16).embed(sentences) * exact).sum(axis=1).min() > 0.999
