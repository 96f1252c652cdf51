"""What a chat request may hold. Everything else is refused by name; nothing is ignored."""

from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, Field, WithJsonSchema

from sartor.data.records import Conversation, Message
from sartor.serving.errors import ApiError
from sartor.serving.schema import MAX_TOP_LOG_PROBS, FreeObject, GenerationRequest, Strict, Text
from sartor.serving.schema_tools import MAX_TOOLS, NamedTool, ResponseFormat, Tool, ToolCallPart, ToolChoice

NO_EFFECT_IN_MESSAGE = {"sartor", "refusal", "annotations"}  # answers that are sent back hold these


def _join_parts(value: Any) -> Any:
    """Content as the list of parts that newer clients send; only text parts are known."""
    if not isinstance(value, list):
        return value
    texts = []
    for part in value:
        if not isinstance(part, dict) or set(part) != {"type", "text"} or part["type"] != "text":
            raise ValueError('only parts of the form {"type": "text", "text": …} are supported')
        if not isinstance(part["text"], str):
            raise ValueError("a part's text should be a string")
        texts.append(part["text"])
    return "".join(texts)


TEXT_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
    "required": ["type", "text"],
    "additionalProperties": False,
}
Content = Annotated[
    Text,
    BeforeValidator(_join_parts),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": TEXT_PART}]}),
]


class ChatMessage(Strict):
    """A turn. `tool_calls` are the assistant's; `tool_call_id` says which call a tool's turn is the result of."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    tool_calls: list[ToolCallPart] | None = Field(None, min_length=1, max_length=MAX_TOOLS)
    tool_call_id: Text | None = None

    def message(self) -> Message:
        """As the chat template gets it."""
        message: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role}
        message["content"] = self.content or ""
        if self.tool_calls:
            message["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        return cast(Message, message)


class ChatRequest(GenerationRequest):
    """`POST /v1/chat/completions`; what is None was left open."""

    no_effect: ClassVar[dict[str, tuple[Any, ...]]] = {
        "functions": ([],),
        "function_call": ("none",),
        "modalities": (["text"],),
        "store": (False,),
        "service_tier": ("auto", "default"),
        "audio": (),
        "prediction": (),
        "reasoning_effort": (),
        "verbosity": (),
        "web_search_options": (),
    }

    messages: list[ChatMessage] = Field(min_length=1, examples=[[{"role": "user", "content": "Hello!"}]])
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=MAX_TOP_LOG_PROBS)
    response_format: ResponseFormat | None = None
    tools: list[Tool] = Field([], max_length=MAX_TOOLS)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool = True
    metadata: FreeObject | None = None

    @property
    def conversation(self) -> Conversation:
        return [message.message() for message in self.messages]

    @property
    def token_limit(self) -> int | None:
        return self.max_completion_tokens if self.max_tokens is None else self.max_tokens

    @property
    def num_top_log_probs(self) -> int:
        return self.top_logprobs

    @property
    def usable_tools(self) -> list[dict[str, Any]]:
        """The tools in the form of the API; [] when none may be called."""
        return [] if self.tool_choice == "none" else [tool.model_dump() for tool in self.tools]

    @property
    def required_tool(self) -> str | None:
        """The name of the one tool that has to be called."""
        return self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else None

    @property
    def tool_mode(self) -> str:
        """auto, required, none, or the name of the one tool that has to be called."""
        if isinstance(self.tool_choice, NamedTool):
            return self.tool_choice.function.name
        return self.tool_choice or "auto"

    @property
    def form_param(self) -> str | None:
        """The parameter that says what form the answer should have; None where it is free."""
        if self.usable_tools:
            return "tools"
        wants_form = self.response_format is not None and self.response_format.type != "text"
        return "response_format" if wants_form else None

    def asked_of_the_engine(self) -> list[str]:
        """The parameters that need something which not every engine can do."""
        names = super().asked_of_the_engine()
        if self.top_logprobs:
            names.append("top_logprobs")
        return [*names, self.form_param] if self.form_param is not None else names

    @classmethod
    def tidy(cls, values: dict[str, Any]) -> None:
        messages = values.get("messages")
        for message in messages if isinstance(messages, list) else []:
            if isinstance(message, dict):
                silent = {name for name, value in message.items() if value is None} | NO_EFFECT_IN_MESSAGE
                for name in silent & message.keys():
                    del message[name]

    def check(self) -> None:
        super().check()
        if None not in (self.max_tokens, self.max_completion_tokens):
            raise ApiError(400, "give max_completion_tokens or max_tokens, not both", param="max_tokens")
        if self.top_logprobs and not self.logprobs:
            raise ApiError(400, "top_logprobs needs logprobs: true", param="top_logprobs")
        self._check_messages()
        self._check_tools()
        self._check_format()

    def _check_messages(self) -> None:
        open_calls: set[str] = set()
        for place, message in enumerate(self.messages):
            where = f"messages[{place}]"
            if message.content is None and not message.tool_calls:
                raise _wrong(f"{where}.content is missing", f"{where}.content", "missing_required_parameter")
            if message.tool_calls and message.role != "assistant":
                raise _wrong("only the assistant calls tools", f"{where}.tool_calls")
            if (message.role == "tool") is (message.tool_call_id is None):
                raise _wrong("tool_call_id belongs to a tool's message, which needs it", f"{where}.tool_call_id")
            if message.role != "tool":
                open_calls = {call.id for call in message.tool_calls or ()}
            elif message.tool_call_id not in open_calls:
                raise _wrong("no call before it that is open has this id", f"{where}.tool_call_id")
            else:
                open_calls.remove(message.tool_call_id)
        if self.messages[-1].role not in ("user", "tool"):
            raise _wrong("the last message should be the user's, or a tool's result", "messages")

    def _check_tools(self) -> None:
        names = [tool.function.name for tool in self.tools]
        if len(set(names)) < len(names):
            raise _wrong("two tools have one name", "tools")
        if self.required_tool is not None and self.required_tool not in names:
            raise _wrong(f"there is no tool {self.required_tool!r}", "tool_choice")
        if self.required_tool in ("auto", "required"):
            raise _wrong(f"a tool called {self.required_tool} cannot be chosen by its name", "tool_choice")
        if self.tool_choice not in (None, "none", "auto") and not names:
            raise _wrong("tool_choice needs tools", "tool_choice")

    def _check_format(self) -> None:
        if self.response_format is None:
            return
        has_schema = self.response_format.json_schema is not None
        if has_schema is not (self.response_format.type == "json_schema"):
            raise _wrong("json_schema goes with type json_schema, which needs it", "response_format.json_schema")
        if self.response_format.type != "text" and self.usable_tools:
            raise _wrong("a response_format and tools cannot be asked for at once", "response_format")


def _wrong(message: str, param: str, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, param=param, code=code)
