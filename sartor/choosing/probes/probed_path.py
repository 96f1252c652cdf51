"""A fitted path, opened once for all probes."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sartor.choosing.brief import Brief
from sartor.data.records import Row
from sartor.generation.protocol import Generator, Reply
from sartor.retrieval.path import OpenPath, PathConfig, open_path

Item = TypeVar("Item")
Finding = dict[str, object]


@dataclass(frozen=True)
class ProbedPath:
    """`model` answers behind the path's prompt and documents, `opened` is all together. `seconds` is how long a probe
    may take."""

    name: str
    folder: Path
    brief: Brief
    model: Generator
    opened: OpenPath
    seconds: float
    seed: int

    @property
    def config(self) -> PathConfig:
        return self.opened.config

    @property
    def reads_documents(self) -> bool:
        return self.config.knowledge is not None or self.config.documents is not None

    def ask(self, rows: Sequence[Row]) -> list[Reply]:
        return ask(self.opened, rows)

    def reading(self, **files: object) -> OpenPath:
        """The same path with other settings of its configuration, such as a copy of its documents."""
        return open_path(self.config.model_copy(update=files), self.folder, self.model)


def ask(opened: OpenPath, rows: Sequence[Row]) -> list[Reply]:
    """The replies to the rows, as the path gave them when it was measured."""
    return opened.generator.generate([row.messages for row in rows], opened.config.sampling)


def asking(row: Row, question: str) -> Row:
    """The row with its question in other words."""
    return replace(row, messages=[*row.messages[:-1], {**row.messages[-1], "content": question}])


def while_time_lasts(items: Sequence[Item], seconds: float) -> Iterator[Item]:
    """The first item, and further ones until so many seconds are over."""
    started = time.monotonic()
    for place, item in enumerate(items):
        if place and time.monotonic() - started > seconds:
            return
        yield item
