"""What requests to see a text as tokens, and tokens as a text, may hold."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from sartor.serving.errors import ApiError
from sartor.serving.schema import RequestBody, Text, TokenId
from sartor.serving.schema_chat import ChatMessage, ChatRequest
from sartor.serving.schema_tools import MAX_TOOLS, Tool

MAX_TOKENS = 1_000_000


class TokenizeRequest(RequestBody):
    """`POST /tokenize`: a `prompt` or `messages`. Without `model`, the tokenizer that all served models share."""

    no_effect: ClassVar[dict[str, tuple[Any, ...]]] = {
        "add_generation_prompt": (True,),
        "continue_final_message": (False,),
    }

    model: Text | None = None
    prompt: Text | None = None
    messages: list[ChatMessage] | None = Field(None, min_length=1)
    tools: list[Tool] = Field([], max_length=MAX_TOOLS)
    add_special_tokens: bool = True
    return_token_strs: bool = False

    @classmethod
    def tidy(cls, values: dict[str, Any]) -> None:
        ChatRequest.tidy(values)

    def check(self) -> None:
        if (self.prompt is None) is (self.messages is None):
            raise ApiError(400, "give either prompt or messages", param="prompt", code="invalid_value")
        if self.prompt is not None and self.tools:
            raise ApiError(400, "tools go with messages", param="tools", code="invalid_value")


class DetokenizeRequest(RequestBody):
    """`POST /detokenize`: token ids to the text that they stand for, control tokens included."""

    model: Text | None = None
    tokens: Annotated[list[TokenId], Field(max_length=MAX_TOKENS)]
