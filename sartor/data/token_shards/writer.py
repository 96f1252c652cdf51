"""Writes the shards of one folder so that a kill at any moment loses only what came after the last note.

Files grow in their final place. Every now and then what was written is synced and its extent noted in a journal; a
later writer cuts the files back to the note and goes on from there. The manifest makes the folder complete.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sartor.base.durable import file_sha256, replace_json, sync_folder, write_error
from sartor.base.errors import DataError
from sartor.data.token_shards.layout import DOCUMENT_ENTRY, DTYPES, SPLITS, Manifest, Shard, write_manifest
from sartor.data.token_shards.work import Part

JOURNAL = "unfinished.json"
SHARD_TOKENS = 2**27  # a shard ends with the first batch that reaches so many


@dataclass(frozen=True)
class Extent:
    """How far the open shard of a split has come, and the finished ones before it."""

    finished: tuple[Shard, ...] = ()
    tokens: int = 0
    documents: int = 0
    text_bytes: int = 0


class ShardWriter:
    """Appends batches to the shards in `folder`.

    `batches` says how many batches are in it already: those of an earlier writer with the same `settings` that was
    stopped. DataError when the folder was begun with other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], shard_tokens: int = SHARD_TOKENS):
        self.folder, self.shard_tokens = folder, shard_tokens
        self.settings = json.loads(json.dumps({**settings, "shard_tokens": shard_tokens}))
        self.dtype = DTYPES[settings["dtype"]]
        self.batches, extents = self._begun()
        self._splits = {name: _OpenShard(folder / name, extents[name], self.dtype) for name in SPLITS}

    def add(self, parts: Mapping[str, Part]) -> None:
        """Append one batch: the documents of each split."""
        for name, part in parts.items():
            self._splits[name].add(part)
            if self._splits[name].extent.tokens >= self.shard_tokens:
                self._splits[name].finish()
        self.batches += 1

    def note(self) -> None:
        """Make everything so far durable."""
        for split in self._splits.values():
            split.sync()
        extents = {name: asdict(split.extent) for name, split in self._splits.items()}
        replace_json(self.folder / JOURNAL, {"settings": self.settings, "batches": self.batches, "splits": extents})

    def publish(self, manifest: Manifest) -> Manifest:
        """Finish all shards and write `manifest` with them: the folder is complete."""
        for split in self._splits.values():
            split.finish()
        complete = replace(manifest, splits={name: split.extent.finished for name, split in self._splits.items()})
        write_manifest(self.folder, complete)
        (self.folder / JOURNAL).unlink(missing_ok=True)
        return complete

    def close(self) -> None:
        for split in self._splits.values():
            split.close()

    def _begun(self) -> tuple[int, dict[str, Extent]]:
        path = self.folder / JOURNAL
        nothing = dict.fromkeys(SPLITS, Extent())
        try:
            journal = json.loads(path.read_text())
            found, batches = journal["settings"], journal["batches"]
            extents = {name: _extent(journal["splits"][name]) for name in SPLITS}
        except FileNotFoundError:
            return 0, nothing
        except (OSError, ValueError, KeyError, TypeError) as error:
            hint = "remove the folder to begin again"
            raise DataError(f"cannot be read ({error})", where=str(path), hint=hint) from None
        if found != self.settings:
            names = [name for name in self.settings if found.get(name) != self.settings[name]]
            raise DataError(
                f"was begun with other settings: {', '.join(names)}",
                where=str(self.folder),
                hint="go on with what it was begun with, or remove the folder to begin again",
            )
        return batches, extents


class _OpenShard:
    """One split's shard that still grows."""

    def __init__(self, folder: Path, extent: Extent, dtype: "np.dtype[Any]"):
        self.folder, self.extent, self.dtype = folder, extent, dtype
        self._files: dict[str, BinaryIO] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._cut_back()
        except OSError as error:
            raise write_error(error, folder, 0) from error

    def add(self, part: Part) -> None:
        count = len(part.documents)
        if count == 0:
            return
        entries = part.documents.copy()
        entries[:, 0] = self.extent.tokens + np.cumsum(part.documents[:, 0])
        try:
            self._file("tokens").write(part.tokens)
            self._file("documents").write(entries.tobytes())
        except OSError as error:
            raise write_error(error, self.folder, len(part.tokens)) from error
        self.extent = replace(
            self.extent,
            tokens=int(entries[-1, 0]),
            documents=self.extent.documents + count,
            text_bytes=self.extent.text_bytes + int(entries[:, 1].sum()),
        )

    def sync(self) -> None:
        try:
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self.folder)
        except OSError as error:
            raise write_error(error, self.folder, 0) from error

    def finish(self) -> None:
        """Close the shard, if it holds anything, with the hashes of its files."""
        if self.extent.documents == 0:
            return
        self.sync()
        self.close()
        name = self._name()
        tokens, documents = (file_sha256(self.folder / f"{name}.{end}") for end in ("tokens", "documents"))
        extent = self.extent
        shard = Shard(name, extent.tokens, extent.documents, extent.text_bytes, tokens, documents)
        self.extent = Extent((*extent.finished, shard))

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}

    def _name(self) -> str:
        return f"{len(self.extent.finished):05d}"

    def _file(self, end: str) -> BinaryIO:
        if end not in self._files:
            self._files[end] = (self.folder / f"{self._name()}.{end}").open("ab")
        return self._files[end]

    def _cut_back(self) -> None:
        """Leave exactly what the extent says."""
        shards = [(shard.name, shard.tokens, shard.documents) for shard in self.extent.finished]
        if self.extent.documents:
            shards.append((self._name(), self.extent.tokens, self.extent.documents))
        sizes = {f"{name}.tokens": tokens * self.dtype.itemsize for name, tokens, _ in shards}
        sizes |= {f"{name}.documents": documents * 2 * DOCUMENT_ENTRY.itemsize for name, _, documents in shards}
        for path in list(self.folder.iterdir()):
            if path.name not in sizes:
                path.unlink()
        for name, size in sizes.items():
            path = self.folder / name
            found = path.stat().st_size if path.is_file() else -1
            if found < size:
                what = "is shorter than it was when it was noted as written"
                raise DataError(what, where=str(path), hint="remove the folder to begin again")
            os.truncate(path, size)


def _extent(values: Mapping[str, Any]) -> Extent:
    return Extent(**{**values, "finished": tuple(Shard(**shard) for shard in values["finished"])})
