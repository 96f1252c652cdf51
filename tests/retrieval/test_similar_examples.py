"""The nearest rows, against brute force; what must not be shown is not; the same in a batch and alone."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.data.records import Message, Row
from sartor.generation.prompted import Front, Prompted
from sartor.generation.protocol import Reply, Sampling
from sartor.retrieval.path import PathConfig, Similar, open_front, open_model, open_path
from sartor.retrieval.search import StoreRetriever
from sartor.retrieval.similar_examples import (
    DENSE_WEIGHT,
    SimilarExamples,
    build_examples,
    example_rows,
    rows_of_one_group,
)
from sartor.retrieval.store import KnowledgeStore
from sartor.serving.paths import served_models
from tests import tiny_folders

WORDS = ["card", "lost", "money", "top", "up", "cash", "machine", "fee", "abroad", "pin", "refund", "app", "transfer"]


def made(number: int, question: str, answer: str = "", group: str = "") -> Row:
    asked = [Message(role="user", content=question)]
    return Row(f"r{number}", asked, (answer or f"a{number}",), group or f"g{number}")


def user(question: str) -> Any:
    return [Message(role="user", content=question)]


@pytest.fixture
def examples(tmp_path: Path, embedder: Any) -> Callable[..., SimilarExamples]:
    def build(rows: Sequence[Row], number: int, weight: float = 1.0, **settings: Any) -> SimilarExamples:
        build_examples(rows, tmp_path / "examples.sqlite", embedder)
        store = KnowledgeStore(tmp_path / "examples.sqlite")
        return SimilarExamples(StoreRetriever(store, embedder, weight), number, **settings)

    return build


def test_the_nearest_rows_are_those_of_brute_force_with_the_nearest_last(examples: Any, embedder: Any) -> None:
    random = np.random.default_rng(0)
    rows = [made(n, " ".join(random.choice(WORDS, 6)) + f" {n}") for n in range(60)]
    vectors = embedder.embed([row.question for row in rows]).astype(np.float16).astype(np.float32)
    for k in (1, 4, 16):
        similar = examples(rows, k)
        for _ in range(10):
            question = " ".join(random.choice(WORDS, 5))
            order = np.argsort(-(vectors @ embedder.embed_queries([question])[0]), kind="stable")[:k]
            expected = [(rows[n].question, rows[n].answers[0]) for n in reversed(order)]
            assert list(similar.examples_for(user(question))) == expected


def test_rows_of_the_same_group_or_the_same_question_are_not_shown(examples: Any) -> None:
    train = [
        made(0, "lost card", "own"),
        made(1, "my card is lost", "group", group="dev group"),
        made(2, "lost card abroad", "fine"),
        made(3, "refund", "far"),
    ]
    dev = [made(9, "Lost card!", "x", group="dev group")]
    left_out = rows_of_one_group(dev, train)
    assert left_out == {"Lost card!": {"r0", "r1"}}
    assert [answer for _, answer in examples(train, 2, left_out=left_out).examples_for(user("Lost card!"))] == [
        "far", "fine",
    ]  # fmt: skip
    served = examples(train, 2).examples_for(user("Lost card!"))
    assert served[-1] == ("lost card", "own")  # somebody else may ask what a row asks


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from("abc")), min_size=1, max_size=12))
def test_nothing_left_out_is_ever_among_the_examples(pairs: list[tuple[str, str]]) -> None:
    rows = [made(n, word, group=group) for n, (word, group) in enumerate(pairs)]
    left_out = rows_of_one_group(rows, rows)
    for row in rows:
        own = {other.id for other in rows if other.group == row.group or other.question == row.question}
        same_question = [other for other in rows if other.question == row.question]
        assert left_out[row.question] >= own
        assert left_out[row.question] == {
            other.id for other in rows for each in same_question
            if other.group == each.group or other.question == each.question
        }  # fmt: skip


def test_the_file_is_brought_up_to_date_and_only_new_rows_are_embedded(tmp_path: Path, embedder: Any) -> None:
    file, embedded = tmp_path / "examples.sqlite", []
    own = embedder.embed
    embedder.embed = lambda texts: embedded.extend(texts) or own(texts)
    rows = [made(n, f"question {n}") for n in range(5)]
    build_examples(rows, file, embedder)
    build_examples([*rows[1:], made(7, "another"), replace(rows[1], id="r8", answers=("b",))], file, embedder)
    assert embedded == [f"question {n}" for n in range(5)] + ["another", "question 1"]
    with KnowledgeStore(file) as store:
        assert sorted(store.fingerprints()) == ["r1", "r2", "r3", "r4", "r7", "r8"] and store.problems() == []


def test_dialogues_and_empty_texts_are_no_examples_and_bad_unicode_is_told_of(
    tmp_path: Path, embedder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    dialogue = [*user("hello"), Message(role="assistant", content="yes?"), *user("what?")]
    rows = [made(0, "q"), Row("r1", dialogue, ("a",), "g"), made(2, "  "), made(3, "\ud800")]
    assert [row.id for row in example_rows(rows)] == ["r0", "r3"]
    build_examples(rows, tmp_path / "e.sqlite", embedder)
    with KnowledgeStore(tmp_path / "e.sqlite") as store:
        assert list(store.fingerprints()) == ["r0"]
    assert "1 rows are no examples" in capsys.readouterr().err


def test_what_the_user_said_last_is_what_is_looked_up(examples: Any) -> None:
    similar = examples([made(0, "refund"), made(1, "pin"), made(2, "cash")], 1)
    talk = [*user("refund"), Message(role="assistant", content="cash"), *user("pin")]
    assert similar.examples_for(talk) == (("pin", "a1"),)
    assert similar.examples_for([Message(role="system", content="pin")]) == ()


class Recording:
    """Answers nothing and keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def generate(self, conversations: Any, sampling: Sampling, on_reply: Any = None) -> list[Reply]:
        self.sent += conversations
        return [Reply("", "stop", messages=list(each)) for each in conversations]


def test_examples_that_all_share_stand_in_front_of_those_that_differ(examples: Any) -> None:
    similar = examples([made(0, "refund"), made(1, "pin"), made(2, "cash")], 2)
    inner = Recording()
    Prompted(inner, "Be short.", [("fixed", "f")], similar).generate([user("pin"), user("cash")], Sampling())
    first, second = ([each["content"] for each in sent] for sent in inner.sent)
    assert first[:3] == second[:3] == ["Be short.", "fixed", "f"]
    assert first[-3:] == ["pin", "a1", "pin"] and second[-3:] == ["cash", "a2", "cash"]
    assert len(first) == 8


# --- as a path ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run folder with a path of similar examples, and one that retrieves as well."""
    from sartor.data.extract import read_documents
    from sartor.retrieval.embedder import Embedder
    from sartor.retrieval.indexing import index_folder
    from sartor.retrieval.path import Knowledge

    folder = tmp_path_factory.mktemp("ships")
    model = tiny_folders.language_model(folder / "models" / "tiny")
    embedding = tiny_folders.embedding_model(folder / "models" / "embedding")
    task = tiny_folders.task(folder / "task")
    with KnowledgeStore(folder / "knowledge.sqlite", create=True) as store:
        index_folder(store, read_documents(task / "documents"), Embedder(embedding))
    harbours = [
        made(n, f"where does the {ship} ship lie", harbour)
        for n, (ship, harbour) in enumerate(zip(tiny_folders.SHIPS, tiny_folders.HARBOURS, strict=True))
    ]
    with pytest.MonkeyPatch.context() as patch:
        tiny_folders.use_embedder(patch, embedding)
        build_examples(harbours, folder / "examples.sqlite", Embedder.open())
        similar = Similar(file="../../examples.sqlite", number=2, dense_weight=DENSE_WEIGHT)
        common: dict[str, Any] = {
            "description": "d",
            "model": str(model),
            "instruction": "Name it.",
            "similar": similar,
        }
        PathConfig(name="prompt", max_new_tokens=8, **common).save(folder / "paths/prompt")
        knowledge = Knowledge(file="../../knowledge.sqlite", passages=2, dense_weight=0.5)
        PathConfig(name="rag", max_new_tokens=8, knowledge=knowledge, **common).save(folder / "paths/rag")
        yield folder


@pytest.mark.parametrize("name", ["prompt", "rag"])
def test_a_batch_a_single_question_and_the_server_send_the_same(run: Path, name: str) -> None:
    questions = ["where does the red ship lie in the harbour", "green ship", "the captain of the blue ship"]
    folder = run / "paths" / name
    inner = Recording()
    generator = open_path(PathConfig.load(folder), folder, inner).generator
    generator.generate([user(each) for each in questions], Sampling())
    batch, inner.sent = inner.sent, []
    for question in questions:
        generator.generate([user(question)], Sampling())
    assert inner.sent == batch
    path = open_model(str(run), name)
    assert [path.prepare(user(each))[0] for each in questions] == batch
    (served,) = served_models([f"{run}:{name}"])[:1]
    assert path.local is not None
    for question, sent in zip(questions, batch, strict=True):
        assert served.prepare(user(question), ())[0] == path.local.chat.prompt(sent)
    (first, *_) = batch
    assert [each["content"] for each in first[3:5]] == ["where does the red ship lie", "north"]  # nearest last
    assert first[-1]["content"].startswith("[1] ") == (name == "rag")


def test_a_path_answers_from_several_threads_as_from_one(run: Path) -> None:
    front = open_front(PathConfig.load(run / "paths/prompt"), run / "paths/prompt")
    expected = front.before(user("the blue ship"))
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(front.before(user("the blue ship")))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [expected] * 4


def test_a_front_without_anything_changes_nothing() -> None:
    assert Front().before(user("hello")) == user("hello")
