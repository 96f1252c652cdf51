"""The task's preference pairs, made ready for training: asked as the task asks, without the test's questions."""

from dataclasses import dataclass, replace

from sartor.base.console import say, warn
from sartor.base.errors import DataError
from sartor.choosing.labels import PAIRS
from sartor.data.formats import read_records
from sartor.data.leaks import LeakReport, find_leaks, refuse_known_test, without_leaks
from sartor.data.records import Conversation, Preference, Row
from sartor.data.task import Task
from sartor.generation.prompted import prompted
from sartor.recipes.pair_rows import asked_of


@dataclass(frozen=True)
class TaskPairs:
    """Pairs of at least two prompts, none of which is a test question word for word; `leaks` names those that were
    left out for it and those that come near one."""

    pairs: tuple[Preference, ...]
    leaks: LeakReport


def read_task_pairs(task: Task) -> TaskPairs:
    """Read the task's preferences, which must be there, and tell what is left out. DataError for rows of another kind,
    for one that cannot be used, when most of the test is known, and when too few are left."""
    assert task.preferences is not None
    found = read_records(task.preferences, Preference)
    say(f"{task.preferences}: {found.description}")
    rows = [
        Row(str(number), _without_system(pair.prompt), (), "", where=pair.where)
        for number, pair in enumerate(found.examples)
    ]
    test = [replace(row, messages=_without_system(row.messages)) for row in task.test]
    leaks = find_leaks(rows, test)
    refuse_known_test(leaks, len(test), "preferences", PAIRS)
    tell = warn if leaks.exact or leaks.near else say
    tell(leaks.text(among=PAIRS))
    kept = [found.examples[int(row.id)] for row in without_leaks(rows, leaks)]
    if len(kept) < len(rows):
        say(f"{len(rows) - len(kept):,} of {len(rows):,} preference pairs left out: they ask a test question")
    if len({asked_of(pair) for pair in kept}) < 2:
        raise DataError(
            "fewer than two questions are left, so nothing can be learnt from one and held out of the other",
            where=str(task.preferences),
            hint="add pairs for other questions, or name the other paths with --paths",
        )
    pairs = (replace(pair, prompt=as_asked(pair.prompt, task.instruction)) for pair in kept)
    return TaskPairs(tuple(pairs), leaks)


def as_asked(prompt: Conversation, instruction: str) -> Conversation:
    """The prompt as the path will be asked: with the task's instruction in its system prompt, unless it stands there
    already, alone or behind another text."""
    system = prompt[0]["content"].strip() if prompt[0]["role"] == "system" else ""
    if system == instruction.strip() or system.endswith("\n\n" + instruction.strip()):
        return prompt
    return prompted(prompt, instruction or None)


def _without_system(messages: Conversation) -> Conversation:
    """What is asked apart from how: an instruction makes no other question of it."""
    return [turn for turn in messages if turn["role"] != "system"]
