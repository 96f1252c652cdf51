"""What is done stays done: one entry for each shard and phase, written after the shard's files are in their places.

An entry counts only while its files are as they were written. Nothing in it depends on when, where or by how many
processes the work was done.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sartor.base.durable import file_sha256, replace_json
from sartor.data.document_file import DocumentFile
from sartor.data.pipeline.accounting import Ledger
from sartor.data.pipeline.description import Description
from sartor.data.pipeline.samples import Sample

SUBFOLDER = "journal"


@dataclass(frozen=True)
class Entry:
    """One shard in one phase. `outputs` are the files made of it, by what they hold (kept, rejects, signatures);
    `problem` says why the shard could not be read, and then there are none."""

    number: int
    source: DocumentFile
    ledger: Ledger
    before: Description
    after: Description
    samples: list[Sample]
    outputs: dict[str, DocumentFile]
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "source": asdict(self.source),
            "problem": self.problem,
            "outputs": {name: asdict(file) for name, file in self.outputs.items()},
            "ledger": self.ledger.as_dict(),
            "before": self.before.as_dict(),
            "after": self.after.as_dict(),
            "samples": self.samples,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Entry":
        return cls(
            values["number"],
            DocumentFile(**values["source"]),
            Ledger.from_dict(values["ledger"]),
            Description.from_dict(values["before"]),
            Description.from_dict(values["after"]),
            values["samples"],
            {name: DocumentFile(**file) for name, file in values["outputs"].items()},
            values["problem"],
        )


class Journal:
    """The entries of a folder that is being prepared."""

    def __init__(self, out: Path):
        self.out = out

    def write(self, phase: str, entry: Entry) -> None:
        path = self._path(phase, entry.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_json(path, entry.as_dict())

    def done(self, phase: str, number: int, source: DocumentFile) -> Entry | None:
        """The entry of a shard that need not be worked on again: it was read, and everything made of it is there."""
        entry = self.read(phase, number)
        if entry is None or entry.problem is not None or entry.source != source:
            return None
        intact = all(_is_intact(self.out / file.name, file) for file in entry.outputs.values())
        return entry if intact else None

    def read(self, phase: str, number: int) -> Entry | None:
        try:
            return Entry.from_dict(json.loads(self._path(phase, number).read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None  # damaged: the shard is worked on again

    def forget(self, phase: str) -> None:
        """All shards of the phase are worked on again."""
        for path in (self.out / SUBFOLDER).glob(f"{phase}-*.json"):
            path.unlink()

    def _path(self, phase: str, number: int) -> Path:
        return self.out / SUBFOLDER / f"{phase}-{number:05d}.json"


def _is_intact(path: Path, file: DocumentFile) -> bool:
    try:
        return path.stat().st_size == file.file_bytes and file_sha256(path) == file.sha256
    except OSError:
        return False
