"""What every request has in common: strict values, errors that name the parameter, and nothing that is ignored."""

import json
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from sartor.base.configuration import nearest
from sartor.generation.protocol import Sampling
from sartor.serving.errors import ApiError

MAX_CHOICES = 8
MAX_STOPS = 16
MAX_STOP_CHARACTERS = 500
MAX_TOP_LOG_PROBS = 20
MAX_BIASES = 1_024
MAX_TOKEN_ID = 2**31 - 1
MAX_SCHEMA_DEPTH = 64  # of what a request hands on as it is: tools' parameters, JSON schemas, metadata


def is_text(value: str) -> str:
    if not value.isascii():
        value.encode("utf-8")  # a lone surrogate is no text; the ValueError says so
    return value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _is_shallow(value: Any) -> Any:
    level = [value]
    for _ in range(MAX_SCHEMA_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return value
    raise ValueError(f"it is nested more than {MAX_SCHEMA_DEPTH} levels deep")


def _parse_biases(value: Any) -> Any:
    """JSON writes token ids as text, since they are keys of an object."""
    if not isinstance(value, dict):
        return value
    wrong = next((key for key in value if not (key.isascii() and key.isdigit() and len(key) < 11)), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r} is no token id")
    return {int(key): bias for key, bias in value.items()}


Text = Annotated[str, AfterValidator(is_text)]
Stop = Annotated[Text, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]
STOP_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARACTERS}
Stops = Annotated[
    list[Stop],
    Field(max_length=MAX_STOPS),
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [STOP_SCHEMA, {"type": "array", "items": STOP_SCHEMA, "maxItems": MAX_STOPS}]}),
]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Biases = Annotated[
    dict[int, Bias],
    Field(max_length=MAX_BIASES),
    BeforeValidator(_parse_biases),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": "^[0-9]{1,10}$"},
            "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
            "maxProperties": MAX_BIASES,
        }
    ),
]
TokenId = Annotated[int, Field(ge=0, le=MAX_TOKEN_ID)]
FreeObject = Annotated[dict[str, Any], AfterValidator(_is_shallow)]


class Strict(BaseModel):
    """An object of a request: unknown names and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class RequestBody(Strict):
    """The body of a POST. A parameter that is null was left out.

    `no_effect` holds what is not served here, with the values that ask for nothing and are therefore accepted.
    """

    no_effect: ClassVar[dict[str, tuple[Any, ...]]] = {}

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """ApiError 400 with the parameter's name for all that is not a request that can be done as asked."""
        values = _load(body)
        if not isinstance(values, dict):
            raise ApiError(400, "the body should be a JSON object", code="invalid_json")
        cls._refuse_unsupported(values)
        known = {name for name, value in values.items() if value is not None or name not in cls.model_fields}
        try:
            request = cls.model_validate({name: values[name] for name in known})
        except ValidationError as error:
            raise explain(error, cls, values) from None
        request.check()
        return request

    @classmethod
    def _refuse_unsupported(cls, values: dict[str, Any]) -> None:
        """Take out what asks for nothing; ApiError for what we would have to ignore."""
        for name, harmless in cls.no_effect.items():
            value = values.pop(name, None)
            if value is not None and not any(value == each and type(value) is type(each) for each in harmless):
                raise ApiError(400, f"{name} is not supported here", param=name, code="unsupported_parameter")
        cls.tidy(values)

    @classmethod
    def tidy(cls, values: dict[str, Any]) -> None:
        """Take out of the inner objects what says nothing."""

    def check(self) -> None:
        """ApiError 400 for parameters that contradict each other."""


class StreamOptions(Strict):
    include_usage: bool = False


class GenerationRequest(RequestBody):
    """What chat and plain completions share; what is None was left open."""

    model: Text
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    frequency_penalty: Penalty = 0.0
    presence_penalty: Penalty = 0.0
    logit_bias: Biases = {}
    stop: Stops = []
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens

    @property
    def num_top_log_probs(self) -> int:
        """How many of the likeliest tokens are wanted at each place."""
        return 0

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def asked_of_the_engine(self) -> list[str]:
        """The parameters that need something which not every engine can do."""
        given = {
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
            "logit_bias": self.logit_bias,
        }
        return [name for name, value in given.items() if value]

    def check(self) -> None:
        if self.stream_options is not None and not self.stream:
            raise ApiError(400, "stream_options needs stream: true", param="stream_options")

    def sampling(self, default: Sampling, room_tokens: int, seed: int) -> Sampling:
        """`default` with what the request asks for in its place; the default's stop strings always hold."""
        limit = min(default.max_new_tokens, room_tokens) if self.token_limit is None else self.token_limit
        return Sampling(
            max_new_tokens=limit,
            temperature=default.temperature if self.temperature is None else self.temperature,
            top_p=default.top_p if self.top_p is None else self.top_p,
            stop=tuple(dict.fromkeys((*default.stop, *self.stop))),
            seed=seed,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            logit_bias=tuple(sorted(self.logit_bias.items())),
            top_log_probs=self.num_top_log_probs,
        )


def _load(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ApiError(400, f"the body is not JSON: {reason}", code="invalid_json") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key occurs twice")
    return values


def explain(error: ValidationError, request: type[RequestBody], values: dict[str, Any]) -> ApiError:
    """The first problem with `values` as the API writes it, with the nearest known name for an unknown one."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = _path(problem["loc"], values)
    if problem["type"] == "extra_forbidden":
        near = nearest(param, request.model_fields)
        hint = f"; did you mean {near}?" if near else ""
        return ApiError(400, f"unknown parameter {param}{hint}", param=param, code="unknown_parameter")
    if problem["type"] == "missing":
        return ApiError(400, f"{param} is missing", param=param, code="missing_required_parameter")
    reason = problem["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    return ApiError(400, f"{param} is wrong: {reason}", param=param, code="invalid_value")


def _path(parts: tuple[int | str, ...], values: Any) -> str:
    """`messages[0].content`; names of alternatives that pydantic adds, which no request holds, are left out."""
    text = ""
    for place, part in enumerate(parts):
        if isinstance(part, int):
            text += f"[{part}]"
            values = values[part] if isinstance(values, list) and part < len(values) else None
        elif isinstance(values, dict) and (part in values or place == len(parts) - 1):
            text += f".{part}"
            values = values.get(part)
    return text.removeprefix(".")
