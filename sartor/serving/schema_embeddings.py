"""What a request for embeddings may hold."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from sartor.serving.schema import RequestBody, Text

MAX_INPUTS = 2_048
TEXT = {"type": "string", "minLength": 1}


def _as_texts(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and any(isinstance(item, int | list) for item in value):
        raise ValueError("token ids cannot be embedded, only texts: ids mean something to one tokenizer only")
    return value


def _is_filled(texts: list[str]) -> list[str]:
    if "" in texts:
        raise ValueError("an empty text has no embedding")
    return texts


Inputs = Annotated[
    list[Text],
    Field(min_length=1, max_length=MAX_INPUTS),
    BeforeValidator(_as_texts),
    AfterValidator(_is_filled),
    WithJsonSchema({"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1, "maxItems": MAX_INPUTS}]}),
]


class EmbeddingRequest(RequestBody):
    """`POST /v1/embeddings`. Vectors have the model's own length."""

    no_effect: ClassVar[dict[str, tuple[Any, ...]]] = {"dimensions": ()}

    model: Text
    input: Inputs
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None
