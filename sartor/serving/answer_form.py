"""The form of a chat answer: what it is held to while it is written, and tool calls read out of it."""

import uuid
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from sartor.base.errors import SartorError
from sartor.generation.constrained import Grammars, MakeConstraint
from sartor.generation.tools import ToolCall, parse_tool_calls
from sartor.serving.errors import ApiError
from sartor.serving.scheduler import Scheduler
from sartor.serving.schema_chat import ChatRequest
from sartor.serving.served_model import ServedModel


async def constraint_maker(
    scheduler: Scheduler, model: ServedModel, request: ChatRequest, client: Hashable
) -> MakeConstraint | None:
    """What makes a constraint for each answer; None where the answer is free. Compiled off the event loop.

    ApiError 400 for a form that cannot be kept to exactly.
    """
    param = request.form_param
    if param is None:
        return None
    grammars = model.grammars
    if grammars is None:
        raise ApiError(400, f"{param} cannot be used with {model.id}", param=param, code="unsupported_parameter")

    def compiled() -> MakeConstraint:
        try:
            return _compile(grammars, request)
        except SartorError as error:
            place = error.where or ""
            named = place if place.startswith(param) else param
            what = f"{place}: {error.what}" if place.startswith("#") else error.what  # a place in the schema
            raise ApiError(400, what, param=named, code="invalid_value") from None

    return await scheduler.run(compiled, client=client, param=param)


def _compile(grammars: Grammars, request: ChatRequest) -> MakeConstraint:
    if request.usable_tools:
        return grammars.tool_calls(request.usable_tools, request.tool_mode, request.parallel_tool_calls)
    assert request.response_format is not None
    form = request.response_format.json_schema
    return grammars.json_object() if form is None else grammars.json_schema(form.json_schema, form.strict)


@dataclass(frozen=True)
class ToolCallDelta:
    """A whole call; it is sent in one piece."""

    index: int
    call: ToolCall
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:24]}")

    def as_whole(self) -> dict[str, Any]:
        function = {"name": self.call.name, "arguments": self.call.arguments}
        return {"id": self.id, "type": "function", "function": function}

    def as_dict(self) -> dict[str, Any]:
        return {"index": self.index, **self.as_whole()}


class AnswerReader:
    """Tells the words of an answer from the calls in it, while it arrives. Without tools all of it is words."""

    def __init__(self, has_tools: bool):
        self._has_tools = has_tools
        self._text = ""
        self._shown = self._num_calls = 0

    def push(self, text: str, final: bool) -> tuple[str, list[ToolCallDelta]]:
        """The words that are safe to show now, and the calls that became complete."""
        if not self._has_tools:
            return text, []
        self._text += text
        content, calls = parse_tool_calls(self._text, final)
        shown, self._shown = content[self._shown :], max(self._shown, len(content))
        new = [ToolCallDelta(index, call) for index, call in enumerate(calls)][self._num_calls :]
        self._num_calls = max(self._num_calls, len(calls))
        return shown, new

    def finish_reason(self, finish: str | None) -> str | None:
        """`tool_calls` for an answer that ended with calls by itself."""
        return "tool_calls" if finish == "stop" and self._num_calls else finish
