"""What a chat request may say of tools and of the form that the answer should have."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from sartor.serving.schema import FreeObject, Strict, Text

MAX_TOOLS = 128
NAME_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class FunctionTool(Strict):
    """A function that the model may call. Its arguments always keep to `parameters`; `strict` checks these, too."""

    name: Name
    description: Text = ""
    parameters: FreeObject = {"type": "object", "properties": {}}
    strict: bool = False


class Tool(Strict):
    type: Literal["function"]
    function: FunctionTool


class NamedFunction(Strict):
    name: Name


class NamedTool(Strict):
    type: Literal["function"]
    function: NamedFunction


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("mode")] | Annotated[NamedTool, Tag("tool")],
    Discriminator(lambda value: "tool" if isinstance(value, dict | NamedTool) else "mode"),
]


class CalledFunction(Strict):
    """A call as the model wrote it; `arguments` is JSON."""

    name: Name
    arguments: Text


class ToolCallPart(Strict):
    id: Annotated[Text, Field(min_length=1, max_length=200)]
    type: Literal["function"] = "function"
    function: CalledFunction


class JsonSchemaFormat(Strict):
    """The answer always keeps to the schema; `strict` asks of the schema what the strict mode of OpenAI does."""

    name: Name
    description: Text = ""
    json_schema: FreeObject = Field(alias="schema")
    strict: bool = False


class ResponseFormat(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None
