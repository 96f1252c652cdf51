"""The rows of a task file: questions with their accepted answers, checked one by one."""

import functools
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sartor.base.configuration import nearest
from sartor.data.bad_rows import BadRow
from sartor.data.readers import read_rows
from sartor.data.records import Conversation, Row
from sartor.data.turns import check_ends, kind_of, message, named, text_in, turns

KNOWN_KEYS = ("question", "messages", "answer", "group", "evidence", "id")
AnswerCheck = Callable[[Sequence[str], str], None]
LAST_SIGN = 0x20000  # no combining mark but the selectors of variants, and no symbol, is assigned above it
ONE_HYPHEN = dict.fromkeys(map(ord, "\N{HYPHEN}\N{MINUS SIGN}\N{EN DASH}"), "-")


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
    """Case folded words, numbers and signs with one space between them (Unicode NFKC); spacing does not count.

    The marks of sentences and quotations do not count either. What changes a meaning does: the signs of sums and
    comparisons, currencies and pictures, brackets beside them, and the mark in 1.5 or 12:30. Accents and vowel signs
    belong to their words. A text with nothing that counts is itself, case folded.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().translate(ONE_HYPHEN)
    return " ".join(_what_counts(folded.isascii()).findall(folded)) or " ".join(folded.split())


def normalised_question(messages: Conversation) -> str:
    """All turns of the question, so that two dialogues that end alike are not the same question."""
    return "\n".join(normalised(turn["content"]) for turn in messages)


@functools.cache
def _what_counts(in_ascii: bool) -> re.Pattern[str]:
    """Words, numbers and signs of a text that is normalised; for one in ASCII alone, which is faster."""
    characters = [chr(code) for code in range(128 if in_ascii else LAST_SIGN)]
    kinds = {each: unicodedata.category(each) for each in characters}
    marks = _in_class(each for each in characters if kinds[each][0] == "M")
    signs = _in_class(each for each in characters if kinds[each] in ("Sm", "Sc", "So") and each != "|")
    operator = r"[+*/<>=^-]"
    return re.compile(
        rf"""
        \d+(?:[.,:]\d+)*[\w{marks}]*|[^\W\d][\w{marks}]*
        |(?![\s,;:!?'"])(?:  # so that most of what does not count is not looked at any further
            [{signs}^/%&@\\]
            |(?<!\w)\.(?=\d)                                                # .5
            |(?<=\d)-(?=\d)|(?<=\S[ ])-(?=[ ]\S)|(?<![\w-])-(?=[\w.(])      # no hyphen in a word
            |(?<=[\w)])\*+(?=[\w(])|(?<=\S[ ])\*+(?=[ ]\S)|(?<=\))\*+(?=\S) # not around words that stand out
            |(?<=\w)\#|\#(?=\d)                                             # no heading
            |(?<=[\w)])\|(?=[\w(-])                                         # no column of a table
            |[(\[](?=[\d+.(-])|(?<={operator})[(\[]|(?<={operator}[ ])[(\[]
            |(?<=\d)[)\]]|[)\]](?=[ ]?{operator})
        )
        """,
        re.VERBOSE,
    )


def _in_class(characters: Iterable[str]) -> str:
    """Ascending characters as they stand in a class of a regular expression: by ranges, which are found sooner."""
    ranges: list[list[int]] = []
    for code in map(ord, characters):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


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
    """Of the words alone, whatever else `normalised` comes to count: which rows are dev rows rests on it."""
    question = "\n".join(map(_words, (turn["content"] for turn in messages)))
    return hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _words(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded)) or " ".join(folded.split())


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
