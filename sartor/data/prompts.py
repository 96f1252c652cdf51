"""Prompts to sample answers to, from files of nearly any kind of rows, with accepted answers where a row has them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.base.console import say
from sartor.base.errors import DataError
from sartor.data.bad_rows import BadRow, BadRows
from sartor.data.preferences import as_verdict, read_completion, read_preference, read_prompt
from sartor.data.readers import read_rows
from sartor.data.records import Conversation
from sartor.data.task import Task
from sartor.data.turns import message, named, text_in, turns, with_system

DIALOGUE_COLUMNS = ("messages", "conversations")
ANSWER_COLUMNS = ("answer", "answers", "completion")


@dataclass(frozen=True)
class Prompt:
    """A conversation that ends with the user's turn; `answers` are accepted answers, empty where none are known."""

    messages: Conversation
    answers: tuple[str, ...]
    where: str

    @property
    def question(self) -> str:
        return "\n".join(turn["content"] for turn in self.messages)


def task_prompts(task: Task) -> tuple[list[Prompt], list[Prompt]]:
    """The questions to learn on and those held out (dev) of a task, asked as the task asks; never its test rows."""
    train, dev = (
        [Prompt(task.conversation(row), row.answers, row.where) for row in rows]
        for rows in (task.require_train(), task.dev)
    )
    return train, dev


def read_prompts(path: str | Path, bad_rows: BadRows) -> list[Prompt]:
    """The prompts of a file, each row as `asked_in` and `to_prompt` read it. DataError when the file holds none."""
    prompts: list[Prompt] = []
    for where, row in read_rows(path, bad_rows):
        try:
            prompts.append(to_prompt(row, where))
        except BadRow as error:
            bad_rows.handle(error, row)
    if not prompts:
        raise DataError("holds no usable prompt", where=str(path), hint='give rows with "prompt" or "question"')
    known = sum(bool(prompt.answers) for prompt in prompts)
    say(f"{path}: {len(prompts):,} prompts, {known:,} of them with accepted answers")
    return prompts


def to_prompt(row: dict[str, Any], where: str) -> Prompt:
    """One row as a prompt; BadRow with place, field and hint when it is none. Of a dialogue, the turn behind the last
    question is the accepted answer."""
    asked, reply = _question_and_reply(row, where)
    if _is_pair(row):
        return Prompt(asked, (), where)
    answers = _answers(row, where)
    if reply and answers:
        column = next(name for name in DIALOGUE_COLUMNS if row.get(name) is not None)
        hint = "remove the turns behind the question, or the column with the answer"
        raise BadRow("goes on behind the question, which has an answer already", place=where, field=column, hint=hint)
    return Prompt(asked, answers or ((reply[0]["content"],) if len(reply) == 1 else ()), where)


def asked_in(row: dict[str, Any], where: str) -> Conversation:
    """What a row of any format asks: its `prompt`, its `question`, its dialogue up to the user's last turn, or what the
    sides of a preference pair share. BadRow with place, field and hint when it asks nothing."""
    return _question_and_reply(row, where)[0]


def _question_and_reply(row: dict[str, Any], where: str) -> tuple[Conversation, Conversation]:
    """What is asked, and what a dialogue goes on with."""
    if _is_pair(row):
        return read_preference(row, where).prompt, []
    if row.get("prompt") is not None:
        return read_prompt(row, where), []
    if row.get("question") is not None:
        return with_system(row, [message("user", text_in(row, "question", where))], where), []
    for column in DIALOGUE_COLUMNS:
        if row.get(column) is not None:
            asked, reply = _cut(turns(row[column], where, column), where, column)
            return with_system(row, asked, where), reply
    hint = f"name the column prompt, question or messages; found {named(row)}"
    raise BadRow("holds no prompt", place=where, field="prompt", hint=hint)


def _cut(read: Conversation, where: str, column: str) -> tuple[Conversation, Conversation]:
    """A dialogue up to the user's last turn, and what follows it."""
    users = [index for index, turn in enumerate(read) if turn["role"] == "user"]
    if not users:
        raise BadRow("has no user turn", place=where, field=column, hint="add what the assistant answers to")
    return read[: users[-1] + 1], read[users[-1] + 1 :]


def _is_pair(row: dict[str, Any]) -> bool:
    return row.get("chosen") is not None and row.get("rejected") is not None


def _answers(row: dict[str, Any], where: str) -> tuple[str, ...]:
    column = next((name for name in ANSWER_COLUMNS if row.get(name) is not None), None)
    if column is None:
        return ()
    if column == "completion":
        return _completed(row, where)
    value = row[column]
    if isinstance(value, list) and value and all(isinstance(each, str) and each.strip() for each in value):
        return tuple(value)
    return (text_in(row, column, where),)


def _completed(row: dict[str, Any], where: str) -> tuple[str, ...]:
    """The completion as an accepted answer: a single turn, which a row that rates it must call good."""
    completion = read_completion(row, where)
    good = row.get("label") is None or as_verdict(row["label"])
    return (completion[0]["content"],) if good and len(completion) == 1 else ()
