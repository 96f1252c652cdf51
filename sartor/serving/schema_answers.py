"""What the routes answer, for the OpenAPI document; tests hold the real answers against it."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from sartor.serving.schema_tools import ToolCallPart


class ErrorDetail(BaseModel):
    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    error: ErrorDetail


class Health(BaseModel):
    status: str


class ModelEntry(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    kind: Literal["chat", "embedding"]
    max_context_tokens: int


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[ModelEntry]


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatAnswerMessage(BaseModel):
    """`sartor.passages` are the passages that a retrieving path read."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[ToolCallPart] = []
    sartor: dict[str, Any] = {}


class LikelyToken(BaseModel):
    token: str
    bytes: list[int] | None
    logprob: float


class ChosenToken(LikelyToken):
    top_logprobs: list[LikelyToken]


class ChatLogProbs(BaseModel):
    content: list[ChosenToken]
    refusal: None


class ChatChoice(BaseModel):
    index: int
    message: ChatAnswerMessage
    logprobs: ChatLogProbs | None
    finish_reason: Literal["stop", "length", "tool_calls"]


class ChatAnswer(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class TokenLogProbs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class TextChoice(BaseModel):
    index: int
    text: str
    logprobs: TokenLogProbs | None
    finish_reason: Literal["stop", "length"]


class TextAnswer(BaseModel):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage


class Embedding(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingAnswer(BaseModel):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class Tokens(BaseModel):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = Field(description="the tokens as the vocabulary writes them, if asked for")


class DetokenizedText(BaseModel):
    prompt: str


class TokenizerInfo(BaseModel):
    tokenizer_class: str
    vocab_size: int
    model_max_length: int
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None
    chat_template: str
