"""Texts to vectors, as the OpenAI API gives them."""

import base64
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from sartor.serving.errors import ApiError
from sartor.serving.scheduler import Scheduler
from sartor.serving.schema_embeddings import EmbeddingRequest
from sartor.serving.served_model import ServedModel


async def embed(
    scheduler: Scheduler, model: ServedModel, request: EmbeddingRequest, client: Hashable
) -> dict[str, Any]:
    """The vectors, of unit length. ApiError 400 for a text that is too long: it is never cut."""
    scheduler.reserve(1)
    try:
        tokens = await scheduler.run(_count, model, request.input, client=client, param="input")
        vectors = await scheduler.embed(model, request.input, client)
    finally:
        scheduler.release(1)
    write = _as_base64 if request.encoding_format == "base64" else _as_floats
    data = [{"object": "embedding", "index": index, "embedding": write(vector)} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model.id, "usage": usage}


def _count(model: ServedModel, texts: Sequence[str]) -> int:
    """Tokens of all texts together."""
    assert model.embedder is not None, "the route sees to it"
    total = 0
    for index, text in enumerate(texts):
        count = model.embedder.count_tokens(text)
        if count > model.max_context_tokens:
            message = f"{model.id} reads {model.max_context_tokens:,} tokens; text {index} has {count:,}"
            raise ApiError(400, message, code="context_length_exceeded", param="input")
        total += count
    return total


def _as_floats(vector: np.ndarray) -> list[float]:
    return [float(value) for value in vector]


def _as_base64(vector: np.ndarray) -> str:
    """Little-endian float32."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
