"""Similar train rows for dev questions: never the question's own, opened once, and told of where they cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import SartorError
from sartor.choosing.prompted import dev_examples
from sartor.choosing.prompted.dev_examples import DevExamples
from sartor.choosing.prompted.prompting import Prompt
from sartor.data.records import Message, Row
from sartor.generation.protocol import Reply, Sampling
from sartor.retrieval.path import PathConfig, Similar, open_path
from sartor.retrieval.similar_examples import DENSE_WEIGHT
from tests import tiny_folders


@pytest.fixture(autouse=True)
def embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_folders.use_embedder(monkeypatch, tiny_folders.embedding_model(tmp_path / "embedding"))


def rows() -> list[Row]:
    asked = [f"where does the {ship} ship lie in the {harbour} harbour" for ship in tiny_folders.SHIPS
             for harbour in tiny_folders.HARBOURS]  # fmt: skip
    return [Row(f"r{n}", [Message(role="user", content=text)], (f"a{n}",), f"g{n % 9}") for n, text in enumerate(asked)]


class Recording:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    def generate(self, conversations: Any, sampling: Sampling, on_reply: Any = None) -> list[Reply]:
        self.sent += conversations
        return [Reply("", "stop") for _ in conversations]


def test_no_dev_row_is_shown_itself_or_a_row_of_its_group(brief: Callable[..., Any], tmp_path: Path) -> None:
    every = rows()
    similar = DevExamples(brief(every, every[::4]), tmp_path / "examples.sqlite", 0)(8)
    assert similar is not None
    of_question = {row.question: row for row in every}
    for row in every[::4]:
        shown = [of_question[question] for question, _ in similar.examples_for(row.messages)]
        assert len(shown) == 8
        assert all(other.group != row.group for other in shown)


def test_what_is_measured_on_dev_is_what_the_path_sends(brief: Callable[..., Any], tmp_path: Path) -> None:
    every = rows()
    train, dev = (
        every[:30],
        [Row("d", every[33].messages, ("x",), "dev only"), Row("e", every[35].messages, ("x",), "e")],
    )
    (tmp_path / "run").mkdir()
    similar = DevExamples(brief(train, dev), tmp_path / "run/examples.sqlite", 0)(4)
    chosen, tried = Recording(), Recording()
    asked = [row.messages for row in dev]
    Prompt("Answer.", (("q", "a"),), "s", similar).over(tried).generate(asked, Sampling())
    folder = tmp_path / "run/paths/prompt"
    names = Similar(file="../../examples.sqlite", number=4, dense_weight=DENSE_WEIGHT)
    PathConfig(
        name="prompt", description="d", model="m", instruction="Answer.", examples=[("q", "a")], similar=names
    ).save(folder)
    open_path(PathConfig.load(folder), folder, chosen).generator.generate(asked, Sampling())
    assert tried.sent == chosen.sent and len(tried.sent[0]) == 1 + 2 + 2 * 4 + 1


def test_the_rows_are_embedded_once(brief: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded: list[int] = []
    build = dev_examples.build_examples
    monkeypatch.setattr(
        dev_examples, "build_examples", lambda rows, *rest: embedded.append(len(rows)) or build(rows, *rest)
    )
    monkeypatch.setattr(dev_examples, "MOST_ROWS", 10)
    found = DevExamples(brief(rows(), rows()[:2]), tmp_path / "examples.sqlite", 0)
    one, four = found(1), found(4)
    assert one is not None and four is not None and embedded == [10]
    assert four.retriever is one.retriever


def test_without_an_embedding_model_there_are_none_and_that_is_told(
    brief: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone() -> None:
        raise SartorError("cannot be downloaded")

    monkeypatch.setattr(dev_examples.Embedder, "open", gone)
    assert DevExamples(brief(rows(), rows()[:2]), tmp_path / "examples.sqlite", 0)(4) is None
    assert "cannot be downloaded" in capsys.readouterr().err
    assert DevExamples(brief([], rows()[:2]), tmp_path / "examples.sqlite", 0)(4) is None
