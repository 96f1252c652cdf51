"""What a chat request may hold. Everything else is refused by name; nothing is ignored."""

import json
import random
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sartor.base.configuration import nearest
from sartor.data.records import Conversation, Message
from sartor.generation.protocol import Sampling
from sartor.serving.errors import ApiError

MAX_CHOICES = 8
MAX_STOPS = 4
MAX_STOP_CHARACTERS = 500
NO_EFFECT: dict[str, tuple[Any, ...]] = {  # what is not served, with the values that ask for nothing
    "frequency_penalty": (0,), "presence_penalty": (0,), "logit_bias": ({},), "top_logprobs": (0,),
    "tools": ([],), "tool_choice": ("none",), "parallel_tool_calls": (True, False), "functions": ([],),
    "function_call": ("none",), "response_format": ({"type": "text"},), "modalities": (["text"],),
    "store": (False,), "service_tier": ("auto", "default"), "audio": (), "prediction": (),
    "reasoning_effort": (), "verbosity": (), "web_search_options": (),
}
NO_EFFECT_IN_MESSAGE = {"sartor", "refusal", "annotations"}  # answers that are sent back hold these


def _is_text(value: str) -> str:
    if not value.isascii():
        value.encode("utf-8")  # a lone surrogate is no text; the ValueError says so
    return value


def _join_parts(value: Any) -> Any:
    """Content as the list of parts that newer clients send; only text parts are known."""
    if not isinstance(value, list):
        return value
    texts = []
    for part in value:
        if not isinstance(part, dict) or set(part) != {"type", "text"} or part["type"] != "text":
            raise ValueError("only parts of the form {\"type\": \"text\", \"text\": …} are supported")
        if not isinstance(part["text"], str):
            raise ValueError("a part's text should be a string")
        texts.append(part["text"])
    return "".join(texts)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(_is_text)]
Stop = Annotated[Text, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ChatMessage(_Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[Text, BeforeValidator(_join_parts)]


class StreamOptions(_Strict):
    include_usage: bool = False


class ChatRequest(_Strict):
    """`POST /v1/chat/completions`; what is None was left open."""

    model: Text
    messages: list[ChatMessage] = Field(min_length=1)
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    stop: Annotated[list[Stop], BeforeValidator(_as_list)] = Field([], max_length=MAX_STOPS)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    logprobs: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None

    @property
    def conversation(self) -> Conversation:
        roles = {"developer": "system"}
        return [Message(role=roles.get(message.role, message.role), content=message.content)
                for message in self.messages]

    @property
    def token_limit(self) -> int | None:
        return self.max_completion_tokens if self.max_tokens is None else self.max_tokens

    def samplings(self, default: Sampling, room_tokens: int) -> list[Sampling]:
        """One for each choice; each has its own seed, so that they differ."""
        limit = min(default.max_new_tokens, room_tokens) if self.token_limit is None else self.token_limit
        seed = random.getrandbits(32) if self.seed is None else self.seed
        return [Sampling(
            max_new_tokens=limit,
            temperature=default.temperature if self.temperature is None else self.temperature,
            top_p=default.top_p if self.top_p is None else self.top_p,
            stop=tuple(dict.fromkeys((*default.stop, *self.stop))),
            seed=seed + choice,
        ) for choice in range(self.n)]


def parse_chat_request(body: bytes) -> ChatRequest:
    """ApiError 400 with the parameter's name for all that is not a request we can do as asked."""
    values = _load(body)
    if not isinstance(values, dict):
        raise ApiError(400, "the body should be a JSON object", code="invalid_json")
    _refuse_unsupported(values)
    try:
        known = ChatRequest.model_fields
        request = ChatRequest.model_validate(
            {name: value for name, value in values.items() if value is not None or name not in known})
    except ValidationError as error:
        raise _explain(error) from None
    if request.messages[-1].role != "user":
        raise ApiError(400, "the last message should be the user's", param="messages", code="invalid_value")
    if None not in (request.max_tokens, request.max_completion_tokens):
        raise ApiError(400, "give max_completion_tokens or max_tokens, not both", param="max_tokens")
    if request.stream_options is not None and not request.stream:
        raise ApiError(400, "stream_options needs stream: true", param="stream_options")
    return request


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


def _refuse_unsupported(values: dict[str, Any]) -> None:
    """Take out what asks for nothing; ApiError for what we would have to ignore."""
    for name, harmless in NO_EFFECT.items():
        value = values.pop(name, None)
        if value is not None and value not in harmless:
            raise ApiError(400, f"{name} is not supported here", param=name, code="unsupported_parameter")
    messages = values.get("messages")
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, dict):
            silent = {name for name, value in message.items() if value is None} | NO_EFFECT_IN_MESSAGE
            for name in silent & message.keys():
                del message[name]


def _explain(error: ValidationError) -> ApiError:
    problem = error.errors(include_url=False)[0]
    param = _path(problem["loc"])
    if problem["type"] == "extra_forbidden":
        near = nearest(param, ChatRequest.model_fields)
        hint = f"; did you mean {near}?" if near else ""
        return ApiError(400, f"unknown parameter {param}{hint}", param=param, code="unknown_parameter")
    if problem["type"] == "missing":
        return ApiError(400, f"{param} is missing", param=param, code="missing_required_parameter")
    reason = problem["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    return ApiError(400, f"{param} is wrong: {reason}", param=param, code="invalid_value")


def _path(parts: tuple[int | str, ...]) -> str:
    """`messages[0].content`"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")
