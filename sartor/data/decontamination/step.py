"""Drops documents that hold test rows, so that a score says what a model can do and not what it has read.

The n-gram of 13 words is GPT-3's (Brown et al. 2020, appendix C); it looked for shorter test texts whole, from 8 words
on, as is done here. A single n-gram in common is enough, unless `least_share` asks for more.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Self

import pyarrow as pa
from pydantic import Field, model_validator

from sartor.base.configuration import Config
from sartor.base.errors import DataError
from sartor.data.decontamination.held_out import held_out_texts
from sartor.data.decontamination.index import HeldOutIndex
from sartor.data.documents import TEXT
from sartor.data.filters.step import Outcome


class Decontamination(Config):
    """What is looked for, and how much of it makes a document contaminated."""

    tasks: tuple[str, ...] = Field(description="task folders, or files of rows or text, that are tested on")
    answers: bool = Field(default=False, description="look for tasks' accepted answers as well as their questions")
    gram_words: int = Field(default=13, ge=1, le=100, description="words in an n-gram")
    least_words: int = Field(default=8, ge=1, description="test texts of fewer words are not looked for")
    least_share: float = Field(default=0.0, ge=0, le=1, description="share of a text's n-grams that counts; 0: one")

    @model_validator(mode="after")
    def _searches_something(self) -> Self:
        if self.least_words > self.gram_words:
            raise ValueError("`least_words` cannot be more than `gram_words`")
        return self


@dataclass(frozen=True)
class Searched:
    """How many texts of a task are looked for, and how many are too short for that."""

    searched: int
    unsearched: int


class Decontaminate:
    """The step. Reads the tasks when it is made: DataError where one cannot be read, or none has a text long enough.

    `by_task` counts the texts of each task.
    """

    name = "decontamination"

    def __init__(self, settings: Decontamination):
        self.settings = settings
        self.held_out = [text for task in settings.tasks for text in held_out_texts(task, settings.answers)]
        self.index = HeldOutIndex([each.text for each in self.held_out], settings.gram_words, settings.least_words)
        counts = Counter(zip((text.task for text in self.held_out), self.index.is_searched.tolist(), strict=True))
        self.by_task = {task: Searched(counts[task, True], counts[task, False]) for task, _ in counts}
        if settings.tasks and not self.index.is_searched.any():
            what = f"no test text has {settings.least_words} words, so none can be looked for"
            raise DataError(what, where=settings.tasks[0], hint="lower `least_words`, or leave these tasks out")

    def __call__(self, documents: pa.Table) -> Outcome:
        """The reason names the task, the detail the row, and how much of its text was found."""
        matches = self.index.matches(documents["text"].to_pylist(), self.settings.least_share)
        reasons = [match and self.held_out[match.text].reason for match in matches]
        details = [match and self._detail(match.text, match.share) for match in matches]
        return Outcome(documents, pa.array(reasons, TEXT), details=pa.array(details, TEXT))

    def _detail(self, text: int, share: float) -> str:
        found = self.held_out[text]
        return f"{found.task} row {found.row} ({share:.0%} of its {self.index.num_grams[text]:,} n-grams)"
