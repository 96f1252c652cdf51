"""Paths over real files and a real index, whose model is a function."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sartor.choosing.brief import Brief
from sartor.choosing.probes.probed_path import ProbedPath
from sartor.data.extract import Document, read_documents
from sartor.data.leaks import LeakReport
from sartor.data.records import Conversation, Message, Row
from sartor.data.scorers import scorer
from sartor.data.task import Limits, Task
from sartor.generation.protocol import Generator, Reply, Sampling
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.path import Knowledge, PathConfig, open_path
from sartor.retrieval.store import KnowledgeStore
from tests import tiny_folders

NIL = "not in the book [NIL]"


@dataclass
class Scripted:
    """Answers with what `answer` makes of all that it is sent; keeps it."""

    answer: Callable[[str], str]
    sent: list[str] = field(default_factory=list)

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        prompts = ["\n".join(message["content"] for message in each) for each in conversations]
        self.sent += prompts
        return [
            Reply(self.answer(prompt), "stop", messages=list(each))
            for prompt, each in zip(prompts, conversations, strict=True)
        ]


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_folders.use_embedder(patch, tiny_folders.embedding_model(tmp_path_factory.mktemp("models") / "embedding"))
        yield


def ask(number: int, ship: str, answer: str, evidence: Sequence[str] = ()) -> Row:
    question = Message(role="user", content=f"how many berths does the {ship} ship have?")
    return Row(f"r{number}", [question], (answer,), f"g{number}", tuple(evidence))


BERTHS = {"red": "seven", "green": "nine", "blue": "twelve"}


@pytest.fixture
def berths() -> list[Row]:
    """A row for each ship, whose document tells how many berths it has."""
    return [ask(number, ship, f"{count} [B]", [f"{ship}.md"]) for number, (ship, count) in enumerate(BERTHS.items())]


@pytest.fixture
def library(tmp_path: Path) -> dict[str, Document]:
    """The documents by id; they lie in tmp_path / "documents"."""
    folder = tmp_path / "documents"
    folder.mkdir()
    for ship, count in BERTHS.items():
        text = f"# {ship} ship\n\nThe {ship} ship has {count} berths in the harbour."
        (folder / f"{ship}.md").write_text(text)
    return {document.id: document for document in read_documents(folder)}


def brief_of(rows: Sequence[Row], by: str) -> Brief:
    task = Task(Path("t"), "t", "", "Answer.", scorer(by), Limits(), tuple(rows), tuple(rows), tuple(rows), "file")
    return Brief(task, tuple(rows), tuple(rows), task.test, LeakReport((), ()), 16)


@pytest.fixture
def probed(tmp_path: Path) -> Callable[..., ProbedPath]:
    """Makes a path over `rows` with a model, and settings such as `knowledge`."""

    def make(
        model: Generator, rows: Sequence[Row], by: str = "f1", seconds: float = 60.0, **settings: object
    ) -> ProbedPath:
        config = PathConfig.model_validate({"name": "p", "description": "", "model": "none"} | settings)
        opened = open_path(config, tmp_path, model)
        return ProbedPath("p", tmp_path, brief_of(rows, by), model, opened, seconds, 0)

    return make


@pytest.fixture
def knowledge(embedding: None, tmp_path: Path, library: dict[str, Document]) -> Knowledge:
    """The documents indexed."""
    with KnowledgeStore(tmp_path / "knowledge.sqlite", create=True) as store:
        index_folder(store, library.values(), Embedder.open())
    return Knowledge(file="knowledge.sqlite", passages=1, dense_weight=0.0)


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted
