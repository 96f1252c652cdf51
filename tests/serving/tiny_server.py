"""A real server on a free port with real tiny models: one that answers, one that retrieves, one that embeds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from sartor.data.chat import ChatFormat
from sartor.data.records import Conversation
from sartor.generation.constrained import Grammars
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Passage, Sampling
from sartor.generation.tools import render_tools
from sartor.models.hub import locate
from sartor.retrieval.embedder import Embedder
from sartor.serving.app import build_app
from sartor.serving.served_model import ServedModel
from sartor.serving.server import http_server, listen
from tests import tiny_folders

PASSAGE = Passage("c1", "d1", "The red ship lies in the north harbour.", 1.0, 0, 39, "Ships")


@dataclass
class TinyServer:
    url: str
    folder: Path  # of the language model
    local: LocalModel
    embedder: Embedder
    app: Any

    @property
    def chat(self) -> ChatFormat:
        return self.local.chat


def _models(local: LocalModel, embedder: Embedder) -> list[ServedModel]:
    def prepare(conversation: Conversation, tools: Any = ()) -> tuple[list[int], list[Passage] | None]:
        return render_tools(conversation, tools, local.chat), None

    def prepare_grounded(conversation: Conversation, tools: Any = ()) -> tuple[list[int], list[Passage] | None]:
        return prepare(conversation, tools)[0], [PASSAGE]

    common: dict[str, Any] = {
        "engine": local.engine,
        "decode": local.chat.decode,
        "max_context_tokens": local.engine.max_context_tokens,
        "sampling": Sampling(max_new_tokens=16),
        "created": 7,
        "chat": local.chat,
        "grammars": Grammars(local.chat.tokenizer, local.chat.stop_ids),
    }
    embedding = ServedModel("vectors", None, prepare, lambda ids: "", embedder.max_tokens, created=7, embedder=embedder)
    return [
        ServedModel(id="tiny", prepare=prepare, **common),
        ServedModel(id="rag", prepare=prepare_grounded, retrieves=True, **common),
        embedding,
    ]


@contextmanager
def tiny_server(
    folder: Path, key: str | None = None, tokenizer: PreTrainedTokenizerFast | None = None, **options: Any
) -> Iterator[TinyServer]:
    """The language model computes in float32, as the references it is compared with."""
    made = tiny_folders.language_model(folder / "tiny")
    if tokenizer is not None:
        tokenizer.save_pretrained(made)
    local = LocalModel.open(locate(str(made)), torch.float32)
    embedder = Embedder(tiny_folders.embedding_model(folder / "vectors"), torch.float32)
    app = build_app(_models(local, embedder), key, **options)
    server, listening = http_server(app), listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield TinyServer(f"http://127.0.0.1:{listening.getsockname()[1]}", made, local, embedder, app)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not end"
