"""A brief made of rows alone, a retriever that finds what it is told to, and tiny models and a task for whole runs."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from sartor.choosing.brief import Brief
from sartor.data.leaks import LeakReport
from sartor.data.records import Message, Row
from sartor.data.scorers import scorer
from sartor.data.task import Limits, Task
from sartor.generation.protocol import Passage
from tests import tiny_folders


def make_row(number: int, question: str, answer: str, evidence: Sequence[str] = (), turns: int = 1) -> Row:
    earlier = [Message(role="user", content="hello"), Message(role="assistant", content="yes?")] * (turns - 1)
    messages = [*earlier, Message(role="user", content=question)]
    return Row(f"r{number}", messages, (answer,), f"g{number}", tuple(evidence))


def make_brief(train: Sequence[Row], dev: Sequence[Row] = (), by: str = "exact", instruction: str = "Answer.") -> Brief:
    given = Task(
        Path("task"), "t", "", instruction, scorer(by), Limits(), tuple(train), tuple(dev), tuple(train[:1]), "file"
    )
    return Brief(given, tuple(train), tuple(dev), given.test, LeakReport((), ()), 16)


class FoundPassages:
    """A retriever: question -> ids of documents, best first; passage N of them is `ID#N`."""

    def __init__(self, found: dict[str, Sequence[str]]):
        self.found = found

    def retrieve(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        return [
            [Passage(f"{id}#{place}", id, f"text of {id}", 1.0) for place, id in enumerate(self.found[query][:k])]
            for query in queries
        ]


@pytest.fixture
def row() -> Callable[..., Row]:
    return make_row


@pytest.fixture
def brief() -> Callable[..., Brief]:
    return make_brief


@pytest.fixture
def finding() -> type[FoundPassages]:
    return FoundPassages


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `language` and, fetched whenever documents are read, `embedding`."""
    folder = tmp_path_factory.mktemp("models")
    tiny_folders.language_model(folder / "language")
    with pytest.MonkeyPatch.context() as patch:
        tiny_folders.use_embedder(patch, tiny_folders.embedding_model(folder / "embedding"))
        yield folder


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folders.task(tmp_path_factory.mktemp("tasks") / "ships")
