"""The typed rows that every room passes around."""

from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict


class Message(TypedDict):
    """One turn: `role` is system, user or assistant; in conversations with tools also tool, the result of a call.

    `tool_calls` are the assistant's, in the form of OpenAI's API; `tool_call_id` says which call a result is of.
    """

    role: str
    content: str
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]


Conversation = list[Message]


@dataclass(frozen=True)
class Row:
    """One question of a task with its accepted answers.

    `messages` ends with the user's question and holds no system prompt of the task;
    `answers` are alternatives of which the first is the one to learn;
    rows of one `group` never straddle a split; `evidence` names documents that hold the answer;
    `where` is `file:line`.
    """

    id: str
    messages: Conversation
    answers: tuple[str, ...]
    group: str
    evidence: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    where: str = ""

    @property
    def question(self) -> str:
        return self.messages[-1]["content"]


@dataclass(frozen=True)
class Example:
    """One conversation to learn from: the assistant's turns are what is learnt.

    `where` is `file:line`, kept so that every later message can point at the row.
    """

    messages: Conversation
    where: str = ""


@dataclass(frozen=True)
class Text:
    """One plain text to continue, without turns: what pre-training reads."""

    text: str
    where: str = ""


@dataclass(frozen=True)
class Preference:
    """Two continuations of one conversation, the better one first.

    `chosen` and `rejected` each begin and end with an assistant's turn and differ. `is_cut` says of each whether it
    ended at its greatest length, not by itself.
    """

    prompt: Conversation
    chosen: Conversation
    rejected: Conversation
    where: str = ""
    is_cut: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Judged:
    """One continuation of a conversation with a verdict of its own (unpaired preference data)."""

    prompt: Conversation
    completion: Conversation
    desirable: bool
    where: str = ""
