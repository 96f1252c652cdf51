"""What several served paths have in common is opened once: base models, adapters, knowledge files, the embedder."""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sartor.base.console import say
from sartor.base.errors import UsageError
from sartor.data.chat import ChatFormat
from sartor.data.records import Conversation
from sartor.generation.constrained import Grammars
from sartor.generation.local import LocalModel
from sartor.generation.tools import render_tools
from sartor.models.hub import ModelLocation
from sartor.retrieval.embedder import DEFAULT_EMBEDDER, Embedder
from sartor.retrieval.opening import open_store
from sartor.retrieval.protocol import Store, TextEmbedder
from sartor.retrieval.search import StoreRetriever
from sartor.serving.served_model import TokenEngine


class BoundedEngine(TokenEngine, Protocol):
    max_context_tokens: int


@dataclass(frozen=True)
class Answering:
    """A model that answers: its engine, its name in it, how it is asked, what its answers can be held to."""

    engine: BoundedEngine
    adapter: str | None
    chat: ChatFormat
    grammars: Grammars
    rendering: threading.Lock  # a tokenizer must not be told different things by two threads

    def prompt(self, conversation: Conversation, tools: Sequence[dict[str, Any]]) -> list[int]:
        with self.rendering:
            return render_tools(conversation, tools, self.chat)


OpenAlone = Callable[[ModelLocation], tuple[BoundedEngine, ChatFormat]]


class Shelf:
    """`locations` are all models that will be asked for: whether a base is shared decides how its adapters are opened.

    `open_alone` opens models for an engine that shares no bases; the default is our own engine, which does.
    """

    def __init__(self, locations: Collection[ModelLocation], open_alone: OpenAlone | None = None):
        self._open_alone = open_alone
        self._users: dict[Path, set[Path | None]] = {}
        for location in locations:
            self._users.setdefault(_base(location), set()).add(_adapter(location))
        self._bases: dict[Path, LocalModel] = {}
        self._models: dict[tuple[Path, Path | None], Answering] = {}
        self._chats: dict[int, tuple[Grammars, threading.Lock]] = {}
        self._stores: dict[str, Store] = {}
        self._embedders: dict[str, OneAtATime] = {}

    def model(self, location: ModelLocation) -> Answering:
        key = _base(location), _adapter(location)
        if key not in self._models:
            if self._open_alone is not None:
                self._models[key] = self._answering(*self._open_alone(location), None)
            else:
                local = self._local(location)
                self._models[key] = self._answering(local.engine, local.chat, local.adapter)
        return self._models[key]

    def retriever(self, knowledge: str | Path, dense_weight: float | None, rerank: str | None = None) -> StoreRetriever:
        """Hybrid search over a knowledge store with the embedder it was made with. A store that changes is read again
        by itself: its generation number is compared at every search."""
        key = str(knowledge.resolve() if isinstance(knowledge, Path) else knowledge)
        if key not in self._stores:
            self._stores[key] = open_store(knowledge)
        store = self._stores[key]
        source = store.embedder_source or DEFAULT_EMBEDDER
        if source not in self._embedders:
            self._embedders[source] = OneAtATime(Embedder.of_store(store))
        return StoreRetriever(store, self._embedders[source], dense_weight, rerank)

    def embedder(self, name: str) -> "OneAtATime":
        """An embedding model, as searches use it and those who ask for vectors."""
        if name not in self._embedders:
            self._embedders[name] = OneAtATime(Embedder.open(name))
        return self._embedders[name]

    def _local(self, location: ModelLocation) -> LocalModel:
        base = _base(location)
        if len(self._users[base]) < 2:
            return LocalModel.open(location)  # nobody to share with: its adapter costs least where it is built in
        if base not in self._bases:
            self._bases[base] = LocalModel.open(ModelLocation(location.name, location.folder))
        if location.adapter is None:
            return self._bases[base]
        try:
            return self._bases[base].with_adapter(location)
        except UsageError as error:
            say(f"{location.name} gets a base of its own: {error.what}")
            return LocalModel.open(location)

    def _answering(self, engine: BoundedEngine, chat: ChatFormat, adapter: str | None) -> Answering:
        if id(chat) not in self._chats:
            self._chats[id(chat)] = Grammars(chat.tokenizer, chat.stop_ids), threading.Lock()
        return Answering(engine, adapter, chat, *self._chats[id(chat)])


class OneAtATime:
    """An embedder that several threads may use: searches, and those who ask for vectors."""

    def __init__(self, inner: TextEmbedder):
        self.name, self.source = inner.name, inner.source
        self.dimension, self.max_tokens = inner.dimension, inner.max_tokens
        self._inner, self._lock = inner, threading.Lock()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        with self._lock:
            return self._inner.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        with self._lock:
            return self._inner.embed_queries(texts)

    def count_tokens(self, text: str) -> int:
        return self._inner.count_tokens(text)  # a tokenizer that nobody changes may be read by all


def _base(location: ModelLocation) -> Path:
    return location.folder.resolve()


def _adapter(location: ModelLocation) -> Path | None:
    return location.adapter.resolve() if location.adapter is not None else None
