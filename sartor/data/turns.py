"""Turns as files hold them (OpenAI's role/content, ShareGPT's from/value) to checked messages."""

from typing import Any, Literal

from sartor.data.bad_rows import BadRow
from sartor.data.records import Conversation, Message

ROLES = {
    "system": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant",
}  # fmt: skip
TOOL_ROLES = ("tool", "function", "function_call", "observation", "ipython")
TOOL_KEYS = ("tool_calls", "function_call")
READ_KEYS = frozenset({"role", "content", "from", "value", "weight", *TOOL_KEYS})


def text_in(row: dict[str, Any], column: str, place: str) -> str:
    """The text of a column; BadRow when it is missing, not text, or blank."""
    value = row.get(column)
    if value is None:
        raise BadRow(f"'{column}' is missing", place=place, field=column, hint=f"found {named(row)}")
    if not isinstance(value, str):
        hint = 'write it as text, in double quotes: "…"'
        raise BadRow(f"is {kind_of(value)}, not text", place=place, field=column, hint=hint)
    if not value.strip():
        raise BadRow("is empty", place=place, field=column, hint="fill it in or remove the row")
    return value


def optional_text(row: dict[str, Any], column: str, place: str) -> str:
    """As `text_in`, but a missing or blank column is an empty text."""
    value = row.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        return ""
    return text_in(row, column, place)


def message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def turns(value: Any, place: str, field: str) -> Conversation:
    """A list of turns with known roles and text that is not blank; a system turn stands first or nowhere."""
    if not isinstance(value, list):
        hint = 'write [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]'
        if isinstance(value, str) and value.lstrip().startswith("["):
            hint = "a table cell holds text only: give rows with turns as .jsonl"
        raise BadRow(f"is {kind_of(value)}, not a list of turns", place=place, field=field, hint=hint)
    if not value:
        raise BadRow("holds no turns", place=place, field=field, hint="fill it in or remove the row")
    read = [_turn(turn, place, f"{field}[{index}]") for index, turn in enumerate(value)]
    for index, turn in enumerate(read):
        if turn["role"] == "system" and index > 0:
            what, hint = "a system turn stands after other turns", "give one system turn, at the start"
            raise BadRow(what, place=place, field=f"{field}[{index}]", hint=hint)
    return read


def with_system(row: dict[str, Any], read: Conversation, place: str) -> Conversation:
    """`read` after the row's `system` column, if that is there and not blank."""
    system = optional_text(row, "system", place)
    if system and read[0]["role"] == "system":
        hint = "keep the system column or the system turn"
        raise BadRow("there are two system prompts", place=place, field="system", hint=hint)
    return [message("system", system), *read] if system else read


def check_ends(
    read: Conversation, place: str, field: str, last: Literal["user", "assistant"]
) -> Conversation:
    """`read` itself when its last turn is `last`'s and it has a user's turn; BadRow else."""
    roles = [turn["role"] for turn in read]
    if last == "assistant" and "assistant" not in roles:
        hint = "add the assistant's answer: it is what is learnt"
        raise BadRow("has no assistant turn", place=place, field=field, hint=hint)
    if "user" not in roles:
        raise BadRow("has no user turn", place=place, field=field, hint="add what the assistant answers to")
    if roles[-1] != last:
        what = f"the last turn is the {roles[-1]}'s, not the {last}'s"
        hint = "add the answer or remove the last turn" if last == "assistant" else "remove the last turn"
        raise BadRow(what, place=place, field=f"{field}[{len(roles) - 1}]", hint=hint)
    return read


def unread_keys(value: Any) -> set[str]:
    """Keys of turns that carry something and are not read (name, id, …)."""
    if not isinstance(value, list):
        return set()
    dicts = [turn for turn in value if isinstance(turn, dict)]
    return {key for turn in dicts for key, item in turn.items() if item is not None} - READ_KEYS


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return "true or false"
    kinds: tuple[tuple[type, str], ...] = (
        (int, "a number"), (float, "a number"), (str, "text"), (list, "a list"), (dict, "an object"),
    )  # fmt: skip
    return next((words for kind, words in kinds if isinstance(value, kind)), f"a {type(value).__name__}")


def named(row: dict[str, Any]) -> str:
    """`columns question, sql` for messages."""
    present = [column or "(no name)" for column, value in row.items() if value is not None]
    more = f" and {len(present) - 12} more" if len(present) > 12 else ""
    return f"columns {', '.join(present[:12])}{more}" if present else "no columns"


def _turn(turn: Any, place: str, field: str) -> Message:
    if not isinstance(turn, dict):
        hint = 'write {"role": "user", "content": "…"}'
        raise BadRow(f"is {kind_of(turn)}, not a turn", place=place, field=field, hint=hint)
    role = _role(turn, place, field)
    if any(turn.get(key) for key in TOOL_KEYS):
        hint = "tool calls cannot be learnt from yet: write the answer as text or remove the row"
        raise BadRow("the turn calls a tool", place=place, field=field, hint=hint)
    if turn.get("weight") not in (None, 1):
        hint = "every assistant turn is learnt: remove 'weight', or end the conversation before this turn"
        raise BadRow("the turn has a weight other than 1", place=place, field=f"{field}.weight", hint=hint)
    return message(role, _content(turn, place, field))


def _role(turn: dict[str, Any], place: str, field: str) -> str:
    key = "from" if "from" in turn and "role" not in turn else "role"
    role = turn.get(key)
    if isinstance(role, str) and role in ROLES:
        return ROLES[role]
    if role in TOOL_ROLES:
        hint = "tool use cannot be learnt from yet: remove these turns or the row"
        raise BadRow(f"the turn is a tool's ('{role}')", place=place, field=f"{field}.{key}", hint=hint)
    what = "the turn has no role" if role is None else f"unknown role {role!r}"
    raise BadRow(what, place=place, field=f"{field}.{key}", hint="roles are system, user and assistant")


def _content(turn: dict[str, Any], place: str, field: str) -> str:
    key = "value" if "value" in turn and "content" not in turn else "content"
    content, field = turn.get(key), f"{field}.{key}"
    if isinstance(content, list):
        content = "".join(_part(part, place, f"{field}[{index}]") for index, part in enumerate(content))
    if not isinstance(content, str):
        hint = "write the turn's text, or remove the turn"
        raise BadRow(f"is {kind_of(content)}, not text", place=place, field=field, hint=hint)
    if not content.strip():
        raise BadRow("is empty", place=place, field=field, hint="fill it in, or remove the turn or row")
    return content


def _part(part: Any, place: str, field: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return part["text"]
    kind = part.get("type") if isinstance(part, dict) else kind_of(part)
    hint = "only text can be learnt from: remove the part or the row"
    raise BadRow(f"a part of the content is not text ({kind})", place=place, field=field, hint=hint)
