"""`sartor ask`: answers with citations, filters, and saying that the documents do not say. No model is fetched."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sartor.cli.knowledge_options import knowledge_place, shown_place
from sartor.cli.main import main
from sartor.data.extract import make_document
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.search import StoreRetriever
from sartor.retrieval.store import KnowledgeStore
from tests import tiny_folders
from tests.retrieval.conftest import HashEmbedder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folders.language_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    documents = [
        make_document("a", "Ships", "Red ships sail slowly. They are old.", metadata={"year": 2024, "type": "text"}),
        make_document("b", "Tea", "Green tea is hot.", metadata={"year": "2025", "type": "text"}),
    ]
    with KnowledgeStore(tmp_path / "k.sqlite", create=True) as store:
        index_folder(store, documents, HashEmbedder())
        monkeypatch.setattr(
            "sartor.recipes.asking.open_retriever", lambda knowledge: StoreRetriever(store, HashEmbedder())
        )
        monkeypatch.setattr("sartor.recipes.asking._judge", lambda embedder: embedder)
        yield tmp_path / "k.sqlite"


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["ask", *arguments]) == 0
    return capsys.readouterr().out


def test_an_answer_comes_with_its_passages(file: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (str(file), "Which ships sail?", "--base", str(model), "--abstain", "never", "--max-new-tokens", "8")
    told = json.loads(ask(capsys, *arguments, "--json"))
    assert {passage["document_id"] for passage in told["passages"]} == {"a", "b"}
    assert (told["abstained"], told["support"], told["removed"]) == (False, None, [])
    assert "    Green tea is hot." in ask(capsys, *arguments, "--show").splitlines()


@pytest.mark.parametrize(
    ("where", "found"),
    [(["year=2024"], {"a"}), (["year=2025"], {"b"}), (["year=2024", "year=2025"], {"a", "b"}), (["type=pdf"], set()),
     (["type=text", "year=2025"], {"b"})],
)  # fmt: skip
def test_only_documents_with_the_metadata_are_read(
    file: Path, model: Path, capsys: pytest.CaptureFixture[str], where: list[str], found: set[str]
) -> None:
    chosen = [part for each in where for part in ("--where", each)]
    arguments = (str(file), "ships?", "--base", str(model), "--abstain", "never", "--max-new-tokens", "2", "--json")
    told = json.loads(ask(capsys, *arguments, *chosen))
    assert {passage["document_id"] for passage in told["passages"]} == found


def test_where_the_documents_do_not_say_it_says_so(
    file: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sartor.recipes.asking.open_path", lambda *_: pytest.fail("the model was opened"))
    arguments = (str(file), "quantum zygote parliament", "--base", str(model))
    told = ask(capsys, *arguments)
    assert told.startswith("The documents do not say.") and "[1] read: " in told and "    " in told
    assert json.loads(ask(capsys, *arguments, "--json"))["abstained"] is True


def test_a_filter_that_is_none_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", str(file), "x", "--where", "year"]) == 2
    assert "is not FIELD=VALUE" in capsys.readouterr().err


def test_an_address_stays_as_it_is() -> None:
    assert knowledge_place("postgresql://me@host/db") == "postgresql://me@host/db"
    assert knowledge_place("k.sqlite") == Path("k.sqlite")


@pytest.mark.parametrize(
    "address",
    ["postgresql://me:hunter2@host/db", "postgresql://me:a:hunter2@host:1/db?x=1", "postgres://host/db?password=hunter2",
     "postgresql://:hunter2@host/db", "postgresql://me:hunter2@@host/db"],
)  # fmt: skip
def test_a_password_is_not_printed(address: str) -> None:
    assert "hunter2" not in shown_place(address) and "host" in shown_place(address)
    assert shown_place("a:b@c.sqlite") == "a:b@c.sqlite"
