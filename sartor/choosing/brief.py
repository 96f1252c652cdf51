"""What the choice is about, fixed before anything is fitted: the rows of each kind, the limits, the answers' length."""

from dataclasses import dataclass
from pathlib import Path

from sartor.base.console import say, warn
from sartor.base.errors import DataError
from sartor.data.chat import ChatFormat
from sartor.data.leaks import LeakReport, check_leaks, without_leaks
from sartor.data.records import Row
from sartor.data.task import Task

MOST_ANSWER_TOKENS = 512
SPARE_ANSWER_TOKENS = 8


@dataclass(frozen=True)
class Brief:
    """A task made ready. `train` holds no question that a test row asks too; test rows are as they were."""

    task: Task
    train: tuple[Row, ...]
    dev: tuple[Row, ...]
    test: tuple[Row, ...]
    leaks: LeakReport
    max_new_tokens: int

    @property
    def groups(self) -> list[str]:
        return [row.group for row in self.test]


def make_brief(folder: Path, chat: ChatFormat) -> Brief:
    """Load the task, say what was seen, take leaked rows out of train and dev."""
    task = Task.load(folder)
    for sentence in task.summary():
        say(sentence)
    task.require_train()
    leaks = check_leaks(task)
    tell = warn if leaks.exact or leaks.near else say
    tell(leaks.text())
    train, dev = without_leaks(task.train, leaks), without_leaks(task.dev, leaks)
    if not train or not dev:
        raise DataError(
            "no train or dev row is left without the ones that test asks too",
            where=str(folder),
            hint="give rows that are not in test",
        )
    return Brief(task, tuple(train), tuple(dev), task.test, leaks, answer_tokens([*train, *dev], chat))


def answer_tokens(rows: list[Row], chat: ChatFormat) -> int:
    """How long replies may be, the same for every path: the longest known answer, a quarter more, and a little."""
    longest = max(len(chat.tokenizer(row.answers[0], add_special_tokens=False).input_ids) for row in rows)
    return min(MOST_ANSWER_TOKENS, longest + longest // 4 + SPARE_ANSWER_TOKENS)
