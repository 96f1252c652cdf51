"""`sartor index` with another embedder and with questions that choose the ranking."""

import json
from pathlib import Path

import pytest

from sartor.base.errors import DataError, UsageError
from sartor.cli.main import main
from sartor.recipes.index import index, search
from sartor.recipes.ranking import tune_ranking
from sartor.retrieval.fusion import Ranking
from sartor.retrieval.store import KnowledgeStore
from tests import tiny_folders


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_folders.embedding_model(tmp_path / "model")


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for ship, harbour in zip(tiny_folders.SHIPS, tiny_folders.HARBOURS, strict=True):
        (folder / f"{ship}.md").write_text(f"the {ship} ship lies in the {harbour} harbour")
    return folder


@pytest.fixture
def store(tmp_path: Path, documents: Path, model: Path) -> str:
    file = str(tmp_path / "k.sqlite")
    index(documents, file, embedder=str(model))
    return file


def rows(path: Path, evidence: list[str] | None = None) -> Path:
    asked = [
        {"question": f"where does the {ship} ship lie", "evidence": [f"{ship}.md"] if evidence is None else evidence}
        for ship in tiny_folders.SHIPS
    ]
    path.write_text("\n".join(map(json.dumps, asked)))
    return path


def test_a_store_is_searched_with_the_embedder_it_was_made_with(store, documents, model, tmp_path):
    with KnowledgeStore(Path(store)) as opened:
        assert opened.embedder_source == str(model)
    ((found, *_),) = search(store, ["the red ship"], 3)
    assert found.document_id == "red.md"
    assert index(documents, store).report.unchanged == len(tiny_folders.SHIPS)
    model.rename(tmp_path / "moved")
    with pytest.raises(UsageError, match="with which this store was made, cannot be opened") as error:
        search(store, ["the red ship"], 3)
    assert error.value.hint


def test_the_ranking_is_measured_and_kept(store, tmp_path, capsys):
    choice = tune_ranking(store, rows(tmp_path / "rows.jsonl"))
    assert choice.questions == len(tiny_folders.SHIPS)
    assert choice.tried["bm25"] == (1.0, 1.0)
    with KnowledgeStore(Path(store)) as opened:
        assert opened.ranking == choice.ranking
        opened.set_ranking(Ranking.of_weight(0.0))
    ((first, *_),) = search(store, ["the blue ship"], 1)
    assert first.document_id == "blue.md"


def test_questions_that_cannot_be_measured_are_refused(store, tmp_path):
    with pytest.raises(DataError, match="no question names its evidence"):
        tune_ranking(store, rows(tmp_path / "none.jsonl", []))
    with pytest.raises(DataError, match=r"no document 'rad\.md'") as error:
        tune_ranking(store, rows(tmp_path / "wrong.jsonl", ["rad.md"]))
    assert error.value.hint == "did you mean red.md?"


def test_the_command_says_what_was_tried_and_what_was_not(documents, model, tmp_path, capsys):
    file, asked = str(tmp_path / "x.sqlite"), rows(tmp_path / "rows.jsonl")
    command = ["index", str(documents), "--out", file, "--embedder", str(model), "--questions", str(asked)]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "bm25 " in said.out and "recall@5 1.000" in said.out and "now ranks" in said.out
    assert "--reranker names a cross-encoder" in said.err
    assert main(["index", str(documents), "--out", file, "--reranker", str(model)]) != 0
    assert "--questions FILE" in capsys.readouterr().err
