"""What a request for a plain completion may hold: OpenAI's older API, which scores and continues any text."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from sartor.serving.errors import ApiError
from sartor.serving.schema import MAX_TOKEN_ID, MAX_TOP_LOG_PROBS, GenerationRequest, is_text

MAX_PROMPTS = 128
ID_LIST = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": MAX_TOKEN_ID}, "minItems": 1}


def _as_prompts(value: Any) -> Any:
    """One text or one list of ids becomes a list of one."""
    single = isinstance(value, str) or (isinstance(value, list) and value and all(type(item) is int for item in value))
    prompts = [value] if single else value
    if isinstance(prompts, list) and len({type(prompt) for prompt in prompts}) > 1:
        raise ValueError("the prompts should be all texts or all lists of token ids")
    return prompts


def _check_prompt(value: Any) -> str | list[int]:
    if isinstance(value, str):
        return is_text(value)
    if not isinstance(value, list) or not value:
        raise ValueError("a prompt should be a text, or a list of token ids that is not empty")
    wrong = [item for item in value if type(item) is not int or not 0 <= item <= MAX_TOKEN_ID]
    if wrong:
        raise ValueError(f"{str(wrong[0])[:40]!r} is no token id")
    return value


Prompts = Annotated[
    list[Annotated[str | list[int], PlainValidator(_check_prompt)]],
    Field(min_length=1, max_length=MAX_PROMPTS),
    BeforeValidator(_as_prompts),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_PROMPTS},
                ID_LIST,
                {"type": "array", "items": ID_LIST, "minItems": 1, "maxItems": MAX_PROMPTS},
            ],
            "description": "The text to continue, or its token ids; control tokens typed in a text are read as such.",
        }
    ),
]


class CompletionRequest(GenerationRequest):
    """`POST /v1/completions`; what is None was left open. `logprobs` is a number of likeliest tokens."""

    no_effect: ClassVar[dict[str, tuple[Any, ...]]] = {"suffix": (), "best_of": (1,)}

    prompt: Prompts
    max_tokens: int | None = Field(None, ge=0)
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOG_PROBS)

    @property
    def num_top_log_probs(self) -> int:
        return self.logprobs or 0

    @property
    def num_choices(self) -> int:
        return self.n * len(self.prompt)

    @property
    def scores_prompt(self) -> bool:
        return self.echo and self.logprobs is not None

    @property
    def scored_prompt_tokens(self) -> int | None:
        """How many of the likeliest are wanted in each place of the prompt; None: it is not to be scored. With nothing
        to say, the engine has to score."""
        return self.num_top_log_probs if self.scores_prompt or self.max_tokens == 0 else None

    def asked_of_the_engine(self) -> list[str]:
        """The parameters that need something which not every engine can do."""
        names = super().asked_of_the_engine()
        if self.num_top_log_probs:
            names.append("logprobs")
        return [*names, "echo"] if self.scored_prompt_tokens is not None else names

    def check(self) -> None:
        super().check()
        if self.max_tokens == 0 and not self.echo:
            raise ApiError(400, "max_tokens: 0 needs echo: true", param="max_tokens", code="invalid_value")
