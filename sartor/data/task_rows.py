"""The rows of a task file: questions with their accepted answers, checked one by one."""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sartor.base.configuration import nearest
from sartor.data.bad_rows import BadRow
from sartor.data.readers import read_rows
from sartor.data.records import Conversation, Row
from sartor.data.turns import check_ends, kind_of, message, named, text_in, turns

KNOWN_KEYS = ("question", "messages", "answer", "group", "evidence", "id")
AnswerCheck = Callable[[Sequence[str], str], None]


def read_task_rows(path: Path, split: str, check_answers: AnswerCheck) -> list[Row]:
    """All rows of a task file. DataError with place, field and hint for the first that cannot be used.

    Ids default to `SPLIT-N` for row N, groups to a hash of the question. `check_answers(answers, where)` is
    the scorer's own check.
    """
    rows: list[Row] = []
    places: dict[str, str] = {}
    for number, (place, raw) in enumerate(read_rows(path), start=1):
        row = _row(raw, place, f"{split}-{number}")
        check_answers(row.answers, f"{place}, answer")
        if row.id in places:
            what = f"the id '{row.id}' occurs twice, first in {places[row.id]}"
            raise BadRow(what, place=place, field="id", hint="give each row its own id, or leave the ids out")
        places[row.id] = place
        rows.append(row)
    return rows


def normalised(text: str) -> str:
    """Case folded words with one space between them (Unicode NFKC): punctuation and spacing do not count.

    A text without letters or digits is itself, case folded.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded)) or " ".join(folded.split())


def normalised_question(messages: Conversation) -> str:
    """All turns of the question, so that two dialogues that end alike are not the same question."""
    return "\n".join(normalised(turn["content"]) for turn in messages)


def _row(raw: dict[str, Any], place: str, default_id: str) -> Row:
    messages = _messages(raw, place)
    return Row(
        id=_label(raw, "id", place) or default_id,
        messages=messages,
        answers=_answers(raw, place),
        group=_label(raw, "group", place) or _question_hash(messages),
        evidence=_evidence(raw, place),
        extra={key: value for key, value in raw.items() if key not in KNOWN_KEYS},
        where=place,
    )


def _question_hash(messages: Conversation) -> str:
    question = normalised_question(messages).encode("utf-8", "surrogatepass")
    return hashlib.sha256(question).hexdigest()[:16]


def _messages(raw: dict[str, Any], place: str) -> Conversation:
    has_question, has_messages = raw.get("question") is not None, raw.get("messages") is not None
    if has_question and has_messages:
        what = "has both 'question' and 'messages'"
        raise BadRow(what, place=place, field="messages", hint="keep one of them")
    if has_question:
        return [message("user", text_in(raw, "question", place))]
    if has_messages:
        return check_ends(turns(raw["messages"], place, "messages"), place, "messages", last="user")
    raise BadRow("'question' is missing", place=place, field="question", hint=_rename_hint(raw, "question"))


def _answers(raw: dict[str, Any], place: str) -> tuple[str, ...]:
    if raw.get("answer") is None:
        raise BadRow("'answer' is missing", place=place, field="answer", hint=_rename_hint(raw, "answer"))
    if not isinstance(raw["answer"], list):
        return (text_in(raw, "answer", place),)
    if not raw["answer"]:
        hint = "give at least one accepted answer"
        raise BadRow("the list is empty", place=place, field="answer", hint=hint)
    named_parts = {f"answer[{index}]": answer for index, answer in enumerate(raw["answer"])}
    return tuple(text_in(named_parts, name, place) for name in named_parts)


def _label(raw: dict[str, Any], key: str, place: str) -> str | None:
    """An id or group: text, or a whole number as text; None when it is missing or blank."""
    value = raw.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str):
        raise BadRow(f"is {kind_of(value)}, not text", place=place, field=key, hint='write it as text: "…"')
    return value


def _evidence(raw: dict[str, Any], place: str) -> tuple[str, ...]:
    value = raw.get("evidence")
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(name, str) and name for name in value):
        return tuple(value)
    hint = 'write a list of document ids: ["fees.md"]'
    raise BadRow("is not a list of document ids", place=place, field="evidence", hint=hint)


def _rename_hint(raw: dict[str, Any], key: str) -> str:
    near = nearest(key, [column for column in raw if column not in KNOWN_KEYS])
    return f"rename '{near}' to '{key}'" if near else f"found {named(raw)}; rename the one that holds it"
