"""The documents indexed in several sizes, and the search chosen by what it finds of the gold."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor.choosing.retrieved import search_choice
from sartor.choosing.retrieved.library import Library, Search
from sartor.choosing.retrieved.search_choice import build_library, found_within
from sartor.generation.protocol import Passage
from sartor.retrieval.store import KnowledgeStore
from tests import tiny_folders
from tests.tiny_folders import HARBOURS, SHIPS


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("embedder")
    with pytest.MonkeyPatch.context() as patch:
        tiny_folders.use_embedder(patch, tiny_folders.embedding_model(folder))
        yield folder


@pytest.fixture
def ships(tmp_path: Path, brief: Callable[..., Any], row: Callable[..., Any]) -> Any:
    """One long document a ship, of which one sentence says where it lies, and a dev row for each."""
    folder = tmp_path / "task"
    (folder / "documents").mkdir(parents=True)
    for ship, harbour in zip(SHIPS, HARBOURS, strict=True):
        talk = f"the captain of the {ship} ship does where the captain of the {ship} ship does. " * 30
        (folder / "documents" / f"{ship}.md").write_text(f"{talk}\n\nthe {ship} ship lies in the {harbour} harbour\n")
    rows = [
        row(place, f"where lies the {ship} ship", harbour, [f"{ship}.md"])
        for place, (ship, harbour) in enumerate(zip(SHIPS, HARBOURS, strict=True))
    ]
    made = brief(rows, rows)
    return replace(made, task=replace(made.task, folder=folder, documents=folder / "documents"))


def build(made: Any, folder: Path, most_seconds: float = 60) -> Library:
    folder.mkdir(exist_ok=True)
    return build_library(made, folder, most_seconds)


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.sqlite"))


def test_one_search_is_chosen_where_evidence_is_known_and_only_its_file_stays(
    embedder: Path, ships: Any, tmp_path: Path
) -> None:
    library = build(ships, tmp_path / "run")
    assert len(library.searches) == 1 and files(library.folder) == [library.search.file]
    assert set(library.recalls) == set(library.search.numbers) and library.documents == len(SHIPS)
    assert list(library.recalls.values()) == sorted(library.recalls.values())
    sizes = {size for size in (200, 100) if any(f"about {size} tokens" in each.setting for each in library.tried)}
    assert sizes == {200, 100}
    assert sum(each.chosen for each in library.tried) == 1
    with KnowledgeStore(library.folder / library.search.file) as store:
        assert store.count_chunks() == library.chunks > library.documents


def test_a_smaller_size_is_taken_when_it_finds_more(
    embedder: Path, ships: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(self: Any, retriever: Any, search: Search) -> dict[int, np.ndarray]:
        better = search.chunk_tokens == finds
        return {k: np.full(len(self.rows), float(better)) for k in search.numbers}

    for finds, taken in ((100, 100), (200, 200), (0, 200)):  # as good is not better: the usual size stays
        monkeypatch.setattr(search_choice._Builder, "found", found)
        library = build(ships, tmp_path / f"run{finds}")
        assert library.search.chunk_tokens == taken and files(library.folder) == [Search(taken).file]


class Reader:
    """Likes passages that say where a ship lies, or likes them least."""

    def __init__(self, name: str):
        self.name, self.sign = name, -1 if name == "good" else 1

    def rerank(self, question: str, passages: list[Passage], k: int) -> list[Passage]:
        ship = question.split()[-2]
        return sorted(passages, key=lambda each: self.sign * (f"the {ship} ship lies" in each.text))[:k]


def test_a_reranker_is_part_of_the_search_only_where_it_pays(
    embedder: Path, ships: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_choice.Reranker, "open", Reader)
    for ship in SHIPS:  # documents that name every ship, so that a search alone cannot know which one lies there
        (ships.task.documents / f"talk-{ship}.md").write_text(f"where lies the ship {' '.join(SHIPS)} ship where lies")
    good = build_library(ships, _made(tmp_path / "good"), 60, "good")
    assert good.search.ranking.rerank == "good" and good.search.knowledge(1).rerank == "good"
    assert any("read again by good" in each.setting for each in good.tried)
    bad = build_library(ships, tmp_path / "good", 60, "bad")  # another reranker: chosen anew
    assert bad.search.ranking.rerank is None
    assert good.recalls[1] > bad.recalls[1]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_without_evidence_all_searches_stay_and_a_reranker_is_told_to_be_unused(
    embedder: Path, ships: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tuple(replace(row, evidence=()) for row in ships.dev)
    library = build_library(replace(ships, dev=rows, train=rows), _made(tmp_path / "run"), 60, "reader")
    assert "--rerank is not used" in capsys.readouterr().err
    assert {(each.chunk_tokens, each.ranking.mode) for each in library.searches} == {
        (size, mode) for size in (200, 100) for mode in ("bm25", "dense", "fused")
    }
    assert library.search == Search() and library.recalls == {} and len(files(library.folder)) == 2
    for search in library.searches:
        ((passage,),) = library.retriever_of(search).retrieve(["where lies the red ship"], 1)
        assert passage.text


def test_another_size_is_not_indexed_when_time_is_short_and_that_is_said(
    embedder: Path, ships: Any, tmp_path: Path
) -> None:
    library = build(ships, tmp_path / "run", most_seconds=0.0)
    assert library.search.chunk_tokens == 200
    assert any("not tried" in each.setting for each in library.tried)


def test_the_choice_is_kept_until_the_documents_change(
    embedder: Path, ships: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(ships, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(search_choice._Builder, "index", lambda *arguments: pytest.fail("indexed again"))
        again = build(ships, tmp_path / "run")
    assert again == first
    assert json.loads((tmp_path / "run" / "search.json").read_text())["chunks"] == first.chunks
    (ships.task.documents / "new.md").write_text("the new ship lies in the north harbour")
    assert build(ships, tmp_path / "run").documents == first.documents + 1


def test_passages_of_a_document_are_as_the_store_has_them(embedder: Path, ships: Any, tmp_path: Path) -> None:
    library = build(ships, tmp_path / "run")
    ((*found,),) = library.retriever.retrieve(["red ship captain harbour"], 50)
    stored = {passage.chunk_id: (passage.text, passage.title) for passage in found if passage.document_id == "red.md"}
    made = {each.chunk_id: (each.text, each.title) for each in library.passages_of("red.md", library.search)}
    assert stored and stored.items() <= made.items()
    assert library.passages_of("nowhere.md", library.search) == []


def test_a_text_that_another_file_has_is_not_embedded_again(
    embedder: Path, ships: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in ships.task.documents.iterdir():
        file.write_text(f"the {file.stem} ship lies")  # one passage in either size
    embedded: list[str] = []
    own = search_choice.Embedder.embed

    def embed(self: Any, texts: Sequence[str]) -> np.ndarray:
        embedded.extend(texts)
        return own(self, texts)

    monkeypatch.setattr(search_choice.Embedder, "embed", embed)
    build(ships, tmp_path / "run")
    assert len(embedded) == len(SHIPS) == len(set(embedded))


def test_gold_is_found_within_k_when_it_stands_before_place_k() -> None:
    passages = [Passage(f"d#{place}", "d", "", 1.0) for place in range(5)]
    within = found_within([passages, passages], [{"d#2", "d#4"}, {"x"}], (1, 2, 3, 5))
    assert {k: each.tolist() for k, each in within.items()} == {1: [0, 0], 2: [0, 0], 3: [1, 0], 5: [1, 0]}
