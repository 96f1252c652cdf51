"""Runs, models and knowledge files as model ids of the server."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sartor.base.errors import UsageError
from sartor.data.records import Conversation
from sartor.generation.prompted import Front
from sartor.generation.protocol import Passage
from sartor.models.hub import ModelLocation, locate
from sartor.retrieval.embedder import DEFAULT_EMBEDDER
from sartor.retrieval.grounded import INSTRUCTION
from sartor.retrieval.opening import place
from sartor.retrieval.path import Knowledge, PathConfig, find_path, open_front, prepared
from sartor.retrieval.postgres_server import is_postgres
from sartor.retrieval.search import StoreRetriever
from sartor.serving.served_model import ServedModel
from sartor.serving.shelf import Answering, OpenAlone, Shelf

KNOWLEDGE_ENDING = ".sqlite"
KNOWLEDGE_PASSAGES = 3  # as `sartor ask` reads them


@dataclass(frozen=True)
class Named:
    """A path under the id it is served as; `location` is its model, None for an embedding model."""

    id: str
    config: PathConfig
    folder: Path
    location: ModelLocation | None


def served_models(
    names: Sequence[str], path: str | None = None, base: str = "starter", open_alone: OpenAlone | None = None
) -> list[ServedModel]:
    """Open every run, model and knowledge file; bases, knowledge files and the embedder once for all of them.

    An id is the last part of the name; a path of a choice is `RUN` or, named, `RUN:PATH`. A knowledge file is asked
    over the model `base`. The embedding model is served with every path that retrieves. UsageError for two models of
    one id, and for a path that answers through another service.
    """
    found = named_paths(names, path, base)
    shelf = Shelf([each.location for each in found if each.location is not None], open_alone)
    return [_served(each, shelf) for each in found]


def named_paths(names: Sequence[str], path: str | None, base: str) -> list[Named]:
    found = [_named(name, path, base) for name in names]
    if any(each.config.knowledge for each in found) and DEFAULT_EMBEDDER not in [each.id for each in found]:
        found.append(_named(DEFAULT_EMBEDDER, None, base))
    ids = [each.id for each in found]
    for model_id in ids:
        if ids.count(model_id) > 1:
            raise UsageError(f"two models would both be called {model_id}", hint="rename one of the folders")
    return found


def _named(name: str, path_name: str | None, base: str) -> Named:
    file = Path(name).expanduser()
    if name == DEFAULT_EMBEDDER:
        return Named(name, PathConfig(name=name, description="", model=name), Path(), None)
    if is_postgres(name) or (file.suffix == KNOWLEDGE_ENDING and not file.is_dir()):
        return _named_knowledge(name, base)
    run, colon, inner = name.rpartition(":")
    if colon and (Path(run).expanduser() / "paths").is_dir():
        name, path_name = run, inner
    config, folder = find_path(name, path_name)
    if config.api_base_url is not None:
        raise UsageError(
            f"{name} answers through {config.api_base_url}, not on this machine",
            hint="call that service directly, or name another path with --path",
        )
    model_id = Path(name).resolve().name if Path(name).exists() else name
    location = locate(folder / config.adapter if config.adapter else config.model)
    return Named(f"{model_id}:{path_name}" if path_name else model_id, config, folder, location)


def _named_knowledge(name: str, base: str) -> Named:
    """A knowledge file by its name without ending, a database by its own; asked as `sartor ask` does."""
    file = name if is_postgres(name) else str(Path(name).expanduser().resolve())
    model_id = (urlsplit(name).path.strip("/") or "knowledge") if is_postgres(name) else Path(file).stem
    config = PathConfig(
        name=model_id,
        description="",
        model=base,
        instruction=INSTRUCTION,
        knowledge=Knowledge(file=file, passages=KNOWLEDGE_PASSAGES),
    )
    return Named(model_id, config, Path(), locate(base))


def _served(named: Named, shelf: Shelf) -> ServedModel:
    if named.location is None:
        return _embedding(named, shelf)
    knowledge = named.config.knowledge
    retriever = None
    if knowledge is not None:
        retriever = shelf.retriever(place(knowledge.file, named.folder), knowledge.dense_weight, knowledge.rerank)
    model = shelf.model(named.location)
    front = open_front(named.config, named.folder, shelf.retriever)
    return ServedModel(
        id=named.id,
        engine=model.engine,
        prepare=_Prepare(model, front, retriever, knowledge),
        decode=model.chat.decode,
        max_context_tokens=model.engine.max_context_tokens,
        sampling=named.config.sampling,
        created=int(time.time()),
        adapter=model.adapter,
        chat=model.chat,
        grammars=model.grammars,
        retrieves=retriever is not None,
        rendering=model.rendering,
    )


@dataclass(frozen=True)
class _Prepare:
    """The instruction and examples that the path was measured with stand in front of every conversation, and the
    passages in front of its last question."""

    model: Answering
    front: Front
    retriever: StoreRetriever | None
    knowledge: Knowledge | None

    def __call__(
        self, conversation: Conversation, tools: Sequence[dict[str, Any]] = ()
    ) -> tuple[list[int], list[Passage] | None]:
        sent, passages = prepared(conversation, self.front, self.retriever, self.knowledge)
        return self.model.prompt(sent, tools), passages


def _embedding(named: Named, shelf: Shelf) -> ServedModel:
    embedder = shelf.embedder(named.config.model)
    return ServedModel(
        id=named.id,
        engine=None,
        prepare=_no_prompt,
        decode=_no_text,
        max_context_tokens=embedder.max_tokens,
        created=int(time.time()),
        embedder=embedder,
    )


def _no_prompt(conversation: Conversation, tools: Sequence[dict[str, Any]]) -> tuple[list[int], list[Passage] | None]:
    raise AssertionError("an embedding model answers no conversations")


def _no_text(ids: Sequence[int]) -> str:
    raise AssertionError("an embedding model writes no text")
