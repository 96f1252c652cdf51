"""Runs and models as model ids of the server."""

import time
from collections.abc import Sequence
from pathlib import Path

from sartor.base.errors import UsageError
from sartor.data.records import Conversation
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Passage
from sartor.retrieval.path import OpenPath, open_model
from sartor.serving.served_model import ServedModel


def served_models(names: Sequence[str], path: str | None) -> list[ServedModel]:
    """Open every run or model. Its id is the last part of its name; a path of a choice is `RUN` or, named,
    `RUN:PATH`."""
    models = [_served(name, path) for name in names]
    ids = [model.id for model in models]
    for model_id in ids:
        if ids.count(model_id) > 1:
            raise UsageError(f"two models would both be called {model_id}", hint="rename one of the folders")
    return models


def _served(name: str, path_name: str | None) -> ServedModel:
    path = open_model(name, path_name)
    if path.local is None:
        raise UsageError(
            f"{name} answers through {path.config.api_base_url}, not on this machine",
            hint="call that service directly, or name another path with --path",
        )
    model_id = Path(name).resolve().name if Path(name).exists() else name
    return served(path, path.local, f"{model_id}:{path_name}" if path_name else model_id)


def served(path: OpenPath, local: LocalModel, model_id: str) -> ServedModel:
    """The path under `model_id`. The instruction and examples it was measured with stand in front of every
    conversation."""

    def prepare(conversation: Conversation) -> tuple[list[int], list[Passage] | None]:
        sent, passages = path.prepare(conversation)
        return local.chat.prompt(sent), passages

    return ServedModel(
        model_id,
        local.engine,
        prepare,
        local.chat.decode,
        local.engine.max_context_tokens,
        path.config.sampling,
        int(time.time()),
    )
