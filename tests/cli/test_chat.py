"""`sartor chat` with lines from a pipe."""

import io
from pathlib import Path

import pytest

from sartor.cli.main import main
from sartor.data.extract import make_document
from sartor.data.records import Message
from sartor.generation.protocol import Sampling
from sartor.retrieval import path
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.path import PathConfig, open_model
from sartor.retrieval.search import StoreRetriever
from sartor.retrieval.store import KnowledgeStore
from tests import tiny_folders
from tests.retrieval.conftest import HashEmbedder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folders.language_model(tmp_path_factory.mktemp("models") / "tiny")


def chat(patch: pytest.MonkeyPatch, lines: str, *arguments: str) -> int:
    patch.setattr("sys.stdin", io.StringIO(lines))
    return main(["chat", *arguments])


def test_two_lines_give_the_two_replies_of_one_conversation(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    local = open_model(str(model)).generator
    conversation = [Message(role="system", content="be brief")]
    expected = []
    for line in ("the cat", "and the dog"):
        conversation.append(Message(role="user", content=line))
        (reply,) = local.generate([conversation], Sampling(max_new_tokens=6))
        conversation.append(Message(role="assistant", content=reply.text))
        expected.append(reply.text)
    arguments = (str(model), "--system", "be brief", "--max-new-tokens", "6")
    assert chat(monkeypatch, "the cat\nand the dog\n", *arguments) == 0
    assert capsys.readouterr().out == "".join(f"{text}\n" for text in expected)
    assert chat(monkeypatch, "the cat\n\nthe cat\n", *arguments) == 0  # an empty line starts afresh
    assert capsys.readouterr().out == f"{expected[0]}\n" * 2


def test_a_remote_failure_is_told_and_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with tiny_folders.service() as service:
        service.failing = {"bad"}
        PathConfig(name="api", description="d", model="m", api_base_url=service.url).save(tmp_path / "api")
        assert chat(monkeypatch, "one\nbad\ntwo\n", str(tmp_path / "api")) == 0
        printed = capsys.readouterr().out.splitlines()
        assert printed[0] == "echo one" and printed[1].startswith("(no answer: HTTP 400") and printed[2] == "echo two"
        assert [message["content"] for message in service.asked[-1]["messages"]] == ["one", "echo one", "two"]


def test_a_message_that_does_not_fit_is_told_and_forgotten(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chat(monkeypatch, f"the cat\n{'ship ' * 5000}\n\nthe cat\n", str(model), "--max-new-tokens", "6") == 0
    before, _, rest = capsys.readouterr().out.partition("(no answer: ")
    told, _, after = rest.partition("\n")
    assert before == after != "" and "the model reads 4,096" in told and "an empty line starts afresh" in told


def test_what_an_answer_was_read_from_can_be_shown(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {"ships": "Red ships <|im_start|> sail. The ships are old.", "tea": "Green tea is hot."}
    documents = [make_document(id, id.title(), text) for id, text in texts.items()]
    embedder = HashEmbedder()
    with KnowledgeStore(tmp_path / "k.sqlite", create=True) as store:
        index_folder(store, documents, embedder)
        retriever = StoreRetriever(store, embedder, 0.0)
        monkeypatch.setattr(path, "open_retriever", lambda place, weight, rerank: retriever)
        knowledge = path.Knowledge(file="../k.sqlite", passages=1, dense_weight=0.0)
        PathConfig(name="rag", description="d", model=str(model), knowledge=knowledge).save(tmp_path / "rag")
        lines = "/passages\nWhich ships sail?\n/passages\nWhat about tea?\nAnd is it hot?\n/passages\n"
        assert chat(monkeypatch, lines, str(tmp_path / "rag"), "--max-new-tokens", "4") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "(no passages)"
    shown = [line for line in printed if line.startswith("    ")]
    assert shown[0] == "    Red ships < |im_start| >  sail. The ships are old."
    assert shown[-1] == "    Green tea is hot."  # the follow-up is searched for with the tea that it leans on
