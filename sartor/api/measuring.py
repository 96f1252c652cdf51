"""`sartor evaluate` as a function."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sartor.api.configured import Place
from sartor.recipes import evaluate as evaluating


def evaluate(
    models: Place | Sequence[Place],
    tasks: Place | Sequence[Place],
    *,
    split: Literal["test", "dev"] = "test",
    max_new_tokens: int = 128,
    remote_model: str | None = None,
    key_env: str | None = None,
    out: Place | None = None,
) -> tuple[list[evaluating.Evaluation], list[evaluating.Contest]]:
    """Score models on task folders, each with its interval; two models are compared row by row.

    Args:
        models: `starter`, Hub ids, model or run folders, or the base URL of a service (then `remote_model` names the
            model there, and `key_env` the variable that holds the key).
        tasks: task folders.
        out: folder to keep the answers in.
    """
    folder = None if out is None else Path(out)
    return evaluating.evaluate(_names(models), _names(tasks), split, max_new_tokens, remote_model, key_env, folder)


def _names(places: Place | Sequence[Place]) -> list[str]:
    return [os.fspath(place) for place in ([places] if isinstance(places, str | os.PathLike) else places)]
