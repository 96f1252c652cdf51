"""A path of a run folder behind the real application, asked by the official client."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from sartor.base.errors import UsageError
from sartor.data.extract import read_documents
from sartor.generation.protocol import Sampling
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.path import Knowledge, OpenPath, PathConfig, open_model
from sartor.retrieval.store import KnowledgeStore
from sartor.serving.app import build_app
from sartor.serving.paths import served_models
from sartor.serving.server import http_server, listen
from tests import tiny_folders

QUESTIONS = ["where does the red ship lie", "and the green one?", "sail on"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run folder with a path that retrieves, one that only prompts (the choice), and a remote one."""
    folder = tmp_path_factory.mktemp("ships")
    model = tiny_folders.language_model(folder / "models" / "tiny")
    embedding = tiny_folders.embedding_model(folder / "models" / "embedding")
    task = tiny_folders.task(folder / "task")
    with KnowledgeStore(folder / "knowledge.sqlite", create=True) as store:
        index_folder(store, read_documents(task / "documents"), Embedder(embedding))
    common: dict[str, Any] = {"description": "d", "instruction": "Name the harbour.", "max_new_tokens": 12}
    examples = [("where is the blue ship", "east")]
    knowledge = Knowledge(file="../../knowledge.sqlite", passages=2, dense_weight=0.5)
    PathConfig(name="rag", model=str(model), knowledge=knowledge, examples=examples, **common).save(
        folder / "paths/rag"
    )
    PathConfig(name="prompt", model=str(model), examples=examples, **common).save(folder / "paths/prompt")
    PathConfig(name="api", model="m", api_base_url="http://127.0.0.1:9/v1", **common).save(folder / "paths/api")
    (folder / "choice.json").write_text('{"choice": "prompt"}')
    with pytest.MonkeyPatch.context() as patch:
        tiny_folders.use_embedder(patch, embedding)
        yield folder


@pytest.fixture(scope="module")
def paths(run: Path) -> dict[str, OpenPath]:
    return {name: open_model(str(run), name) for name in ("rag", "prompt")}


@pytest.fixture(scope="module")
def client(run: Path) -> Iterator[openai.OpenAI]:
    found = served_models([f"{run}:rag", f"{run}:prompt"])
    models = [replace(model, id=model.id.removeprefix(f"{run.name}:")) for model in found]
    server, listening = http_server(build_app(models)), listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield openai.OpenAI(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}/v1", api_key="none", max_retries=0)
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


def user(content: str) -> Any:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("name", ["rag", "prompt"])
def test_served_answers_are_those_of_the_path(client: openai.OpenAI, run: Path, name: str) -> None:
    generator = open_model(str(run), name).generator
    for question in QUESTIONS:
        (reply,) = generator.generate([user(question)], Sampling(max_new_tokens=12))  # alone, as it is served: in
        # bfloat16 other rows of the batch change the last bits, and with them near ties of a random model
        answer = client.chat.completions.create(model=name, messages=user(question))
        assert answer.choices[0].message.content == reply.text
        assert answer.choices[0].finish_reason == reply.finish
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (
            reply.prompt_tokens,
            reply.completion_tokens,
        )
        own = (answer.choices[0].message.model_extra or {}).get("sartor")
        shown = [passage["chunk_id"] for passage in own["passages"]] if own else []
        assert shown == [passage.chunk_id for passage in reply.passages] and len(shown) == 2 * (name == "rag")


@pytest.mark.parametrize("name", ["rag", "prompt"])
def test_streamed_pieces_are_the_whole_answer(client: openai.OpenAI, name: str) -> None:
    whole = client.chat.completions.create(model=name, messages=user(QUESTIONS[0])).choices[0]
    chunks = list(client.chat.completions.create(model=name, messages=user(QUESTIONS[0]), stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.message.content
    assert chunks[-1].choices[0].finish_reason == whole.finish_reason


def test_what_the_model_is_sent(paths: dict[str, OpenPath]) -> None:
    sent, passages = paths["rag"].prepare([{"role": "system", "content": "Be short."}, *user(QUESTIONS[0])])
    assert sent[0] == {"role": "system", "content": "Be short.\n\nName the harbour."}
    assert [message["content"] for message in sent[1:3]] == ["where is the blue ship", "east"]
    assert sent[3]["content"].startswith("[1] ") and sent[3]["content"].endswith(QUESTIONS[0])
    assert passages is not None and len(passages) == 2
    assert paths["prompt"].prepare(user("hello"))[1] is None


def test_runs_are_named_by_their_folder_and_paths(run: Path) -> None:
    (chosen,) = served_models([str(run)], None)
    assert chosen.id == run.name and chosen.sampling == Sampling(max_new_tokens=12)
    assert served_models([str(run)], "rag")[0].id == f"{run.name}:rag"
    with pytest.raises(UsageError, match="two models would both be called"):
        served_models([str(run), f"{run}/"], None)
    with pytest.raises(UsageError, match="answers through http://127.0.0.1:9/v1"):
        served_models([str(run)], "api")
