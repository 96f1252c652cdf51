"""The questions that a person is shown two answers to: a task's train and dev rows, or the prompts of a file."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sartor.base.console import say
from sartor.base.errors import DataError, UsageError
from sartor.data.opening import find_data_file
from sartor.data.prompts import asked_in
from sartor.data.readers import read_rows
from sartor.data.records import Conversation
from sartor.data.task import Task
from sartor.data.turns import message


@dataclass(frozen=True)
class Question:
    """`prompt` ends with the user's turn and is what a preference row keeps. `own` is the same without the task's
    instruction, for models that bring a prompt of their own."""

    id: str
    prompt: Conversation
    own: Conversation

    @property
    def key(self) -> str:
        return prompt_key(self.prompt)


def prompt_key(prompt: Conversation) -> str:
    """The same for the same turns, whatever file or line they stand in."""
    parts = [part for turn in prompt for part in (turn["role"], turn["content"])]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def read_questions(source: Path) -> list[Question]:
    """Every question once. DataError for a task or file without any, UsageError for a task's test file: preferences
    are learnt from, and test rows must stay unseen."""
    questions = _of_task(source) if source.is_dir() else _of_file(source)
    once = list({question.key: question for question in reversed(questions)}.values())[::-1]
    if len(once) < len(questions):
        say(f"{len(questions) - len(once):,} of {len(questions):,} rows ask what another one asks: each is asked once")
    return once


def place_of_preferences(source: Path) -> Path:
    """Where judgements go by default. UsageError when the task holds preferences in another file, which would make
    two of them."""
    folder = source if source.is_dir() else source.parent
    found = find_data_file(folder, "preferences")
    if found is not None and found.name != "preferences.jsonl":
        what = f"there is {found.name} already, and a task has one file of preferences"
        raise UsageError(what, where=str(folder), hint="name another file with --out, or turn it into .jsonl")
    return folder / "preferences.jsonl"


def well_formed(text: str) -> str:
    """The text with a replacement character for each half of a surrogate pair, which UTF-8 cannot hold."""
    return text.encode("utf-8", errors="surrogatepass").decode("utf-8", errors="replace")


def _of_task(folder: Path) -> list[Question]:
    task = Task.load(folder)
    rows = [*task.train, *task.dev]
    if not rows:
        hint = "add train.jsonl: test rows are never asked, because preferences are learnt from"
        raise DataError("holds no train or dev rows to ask", where=str(folder), hint=hint)
    say(f"Questions from {len(task.train):,} train and {len(task.dev):,} dev rows; test rows are never asked.")
    return [Question(row.id, _clean(task.conversation(row)), _clean(row.messages)) for row in rows]


def _of_file(path: Path) -> list[Question]:
    if path.name.split(".")[0] == "test" and (path.parent / "task.yaml").is_file():
        what = "holds the task's test rows, and preferences are learnt from"
        raise UsageError(
            what, where=str(path), hint=f"give the task folder {path.parent}: train and dev rows are asked"
        )
    read = []
    for number, (place, row) in enumerate(read_rows(path), start=1):
        prompt = _clean(asked_in(row, place))
        read.append(Question(str(row.get("id") or f"row-{number}"), prompt, prompt))
    return read


def _clean(conversation: Conversation) -> Conversation:
    return [message(turn["role"], well_formed(turn["content"])) for turn in conversation]
