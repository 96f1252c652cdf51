"""The model ids of a server, and which of them can do what is asked."""

from collections.abc import Iterator, Mapping
from typing import Any

from sartor.base.configuration import nearest
from sartor.serving.errors import ApiError
from sartor.serving.served_model import ServedModel
from sartor.serving.token_text import TokenTexts


class ModelTable:
    """At least one model by its id."""

    def __init__(self, models: Mapping[str, ServedModel]):
        self._models = models
        self._texts: dict[int, TokenTexts] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __getitem__(self, model_id: str) -> ServedModel:
        """ApiError 404 for an id that is not served."""
        if model_id not in self._models:
            near = nearest(model_id, self._models) or next(iter(self._models))
            message = f"there is no model {model_id!r}; did you mean {near!r}?"
            raise ApiError(404, message, param="model", code="model_not_found")
        return self._models[model_id]

    def describe(self, model_id: str) -> dict[str, Any]:
        model = self[model_id]
        return {
            "id": model.id,
            "object": "model",
            "created": model.created,
            "owned_by": "sartor",
            "kind": "chat" if model.embedder is None else "embedding",
            "max_context_tokens": model.max_context_tokens,
        }

    def that_answers(self, model_id: str) -> ServedModel:
        """ApiError 400 for an embedding model."""
        model = self[model_id]
        if model.embedder is not None:
            raise _cannot(f"{model_id} embeds texts, it does not answer")
        return model

    def that_continues(self, model_id: str) -> ServedModel:
        """The bare model behind an id. ApiError 400 for a path that retrieves: it would be another path without."""
        model = self.that_answers(model_id)
        if model.retrieves:
            raise _cannot(f"{model_id} reads documents before it answers: ask it at /v1/chat/completions")
        if model.chat is None:
            raise _cannot(f"{model_id} takes conversations only: ask it at /v1/chat/completions")
        return model

    def that_embeds(self, model_id: str) -> ServedModel:
        """ApiError 400 for a model that answers."""
        model = self[model_id]
        if model.embedder is None:
            raise _cannot(f"{model_id} does not embed texts")
        return model

    def that_tokenizes(self, model_id: str | None) -> ServedModel:
        """Without an id, the one that stands for all: ApiError 400 where the served models have several tokenizers."""
        if model_id is not None:
            return self.that_answers(model_id)
        answering = [model for model in self._models.values() if model.embedder is None]
        if not answering:
            raise _cannot("no served model shows its tokenizer")
        if len({id(model.chat) for model in answering}) > 1:
            message = f"name the model whose tokenizer is meant: {', '.join(model.id for model in answering)}"
            raise ApiError(400, message, param="model", code="missing_required_parameter")
        return answering[0]

    def token_texts(self, model: ServedModel) -> TokenTexts:
        """Models that share a chat format share the table of its tokens' texts."""
        if model.chat is None:
            return TokenTexts(None, model.decode)
        if id(model.chat) not in self._texts:
            self._texts[id(model.chat)] = TokenTexts(model.chat.tokenizer, model.decode)
        return self._texts[id(model.chat)]


def _cannot(message: str) -> ApiError:
    return ApiError(400, message, param="model", code="invalid_value")
