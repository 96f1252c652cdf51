"""A cleaning whose outcome can be told by hand, and folders of documents for it."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sartor import __version__
from sartor.data.document_folder import DocumentFolder, DocumentWriter
from sartor.data.documents import TEXT, documents_table, with_text
from sartor.data.filters.step import Outcome
from sartor.data.pipeline.engine import Engine, Work, attempt, result_of

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "it", "rains"]


def rows(number: int, start: int = 0) -> list[dict[str, Any]]:
    """Documents of different lengths; every fifth is empty, every seventh loud."""
    made = []
    for row in range(start, start + number):
        text = " ".join(WORDS[(row + k) % len(WORDS)] for k in range(row % 40 + 3))
        text = "" if row % 5 == 0 else text.upper() if row % 7 == 0 else text
        source = f"https://site{row % 3}.example/{row}" if row % 2 else f"books/{row % 4}/{row}.txt"
        made.append({"id": f"d{row}", "text": text, "source": source, "licence": "CC0-1.0" if row % 3 else None})
    return made


def folder(path: Path, number: int = 100, file_bytes: int = 1500, table_rows: int = 100) -> DocumentFolder:
    with DocumentWriter(path, max_file_bytes=file_bytes) as writer:
        table = documents_table(rows(number))
        for start in range(0, number, table_rows):
            writer.add(table.slice(start, table_rows))
    return DocumentFolder.open(path)


class Here(Engine):
    """Does the work in this process, one task after the other: quicker for tests than a process of its own."""

    def run(self, work: Work, tasks: Sequence[str]) -> Iterator[dict[str, Any]]:
        for task in tasks:
            yield result_of(json.loads(attempt(work, task, __version__)))


@dataclass(frozen=True)
class DropEmpty:
    name: str = "empty"

    def __call__(self, documents: pa.Table) -> Outcome:
        is_empty = pc.equal(pc.binary_length(documents["text"]), 0).combine_chunks()
        return Outcome(documents, pc.if_else(is_empty, pa.scalar("no_text", TEXT), pa.scalar(None, TEXT)))


@dataclass(frozen=True)
class Lower:
    """Edits loud documents, so that a kept text differs from the given one."""

    name: str = "lower"

    def __call__(self, documents: pa.Table) -> Outcome:
        lower = pc.utf8_lower(documents["text"])
        changed = pc.sum(pc.not_equal(lower, documents["text"])).as_py() or 0
        return Outcome(with_text(documents, lower), None, {"texts lowered": changed})


@dataclass(frozen=True)
class DropShort:
    name: str = "length"
    least: int = 60

    def __call__(self, documents: pa.Table) -> Outcome:
        length = pc.utf8_length(documents["text"]).combine_chunks()
        reasons = pc.case_when(
            pa.StructArray.from_arrays(
                [pc.less(length, self.least // 2), pc.less(length, self.least)], names=["tiny", "short"]
            ),
            pa.scalar("tiny", TEXT), pa.scalar("short", TEXT), pa.scalar(None, TEXT),
        )  # fmt: skip
        return Outcome(documents, reasons)


@dataclass(frozen=True)
class Saboteur:
    """Does `act` to the table in which the document `at` stands."""

    at: str
    act: Callable[[pa.Table], Outcome]
    name: str = "saboteur"

    def __call__(self, documents: pa.Table) -> Outcome:
        is_here = pc.any(pc.equal(documents["id"], self.at)).as_py()
        return self.act(documents) if is_here else Outcome(documents)


def kill_worker(documents: pa.Table) -> Outcome:
    os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(documents)


def kill_all(documents: pa.Table) -> Outcome:
    """The command itself; its worker ends when it notices."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(30)
    return Outcome(documents)


@dataclass(frozen=True)
class Toy:
    """A `Cleaning` of these steps; nothing personal is in the documents."""

    list: tuple[Any, ...] = field(default=(DropEmpty(), Lower(), DropShort()))

    def steps(self) -> tuple[Any, ...]:
        return self.list

    def split(self) -> None:
        return None

    def signers(self) -> dict[str, Any]:
        return {}

    def mask(self) -> Callable[[str], str]:
        return str
