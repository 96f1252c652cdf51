"""Prompts to sample answers to, from files of nearly any kind of rows, with accepted answers where a row has them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.base.console import say
from sartor.base.errors import DataError
from sartor.data.bad_rows import BadRow, BadRows
from sartor.data.preferences import read_preference, read_prompt
from sartor.data.readers import read_rows
from sartor.data.records import Conversation
from sartor.data.task import Task
from sartor.data.turns import check_ends, message, named, text_in, turns, with_system

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
    """The prompts of a file: a `prompt`, a `question` or `messages`, or what the sides of preference pairs share.
    DataError when the file holds none."""
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
    """One row as a prompt; BadRow with place, field and hint when it is none."""
    if row.get("chosen") is not None and row.get("rejected") is not None:
        return Prompt(read_preference(row, where).prompt, (), where)
    if row.get("prompt") is not None:
        return Prompt(read_prompt(row, where), _answers(row, where), where)
    if row.get("question") is not None:
        asked = [message("user", text_in(row, "question", where))]
        return Prompt(with_system(row, asked, where), _answers(row, where), where)
    if row.get("messages") is not None:
        read = turns(row["messages"], where, "messages")
        answers = _answers(row, where)
        if read[-1]["role"] == "assistant" and not answers:
            read, answers = read[:-1], (read[-1]["content"],)
        return Prompt(with_system(row, check_ends(read, where, "messages", "user"), where), answers, where)
    raise BadRow("holds no prompt", place=where, field="prompt", hint=f"found {named(row)}; name one column prompt")


def _answers(row: dict[str, Any], where: str) -> tuple[str, ...]:
    column = next((name for name in ANSWER_COLUMNS if row.get(name) is not None), None)
    if column is None:
        return ()
    value = row[column]
    if isinstance(value, list) and value and all(isinstance(each, str) and each.strip() for each in value):
        return tuple(value)
    return (text_in(row, column, where),)
