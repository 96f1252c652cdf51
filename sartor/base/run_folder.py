"""The one place a run leaves everything in; what is in it is whole after any crash.

Reading needs no lock (`RunFolder(path)`); one process at a time writes (`RunFolder.create`,
`RunFolder.open`).
"""

import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.base import manifest
from sartor.base.console import warn
from sartor.base.durable import (
    NEW_SUFFIX,
    Content,
    clean_leftovers,
    remove_folder,
    replace_file,
    replace_folder,
    replace_json,
    size_of,
    sync_folder,
    write_error,
)
from sartor.base.errors import DataError, SartorError, UsageError
from sartor.base.lock import Lock
from sartor.base.metrics import Listener, MetricsLog

LOCK_FILE = ".lock"
STEP_FOLDER = re.compile(r"step-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: `folder / name` are the files it was saved with."""

    step: int
    folder: Path


class RunFolder:
    """A run folder as CONTRACTS describe it: config.yaml, environment.json, metrics.jsonl,
    checkpoints/step-N, latest, …"""

    def __init__(self, path: Path | str):
        """An existing run folder, to read. UsageError when there is no such folder."""
        self.path = Path(path)
        self.metrics_listeners: list[Listener] = []
        self._lock = Lock(self.path / LOCK_FILE, doing="using this run folder")
        if not self.path.is_dir():
            raise UsageError("there is no such run folder", where=str(self.path), hint="check the path")

    @classmethod
    def create(cls, path: Path | str) -> "RunFolder":
        """A new run folder, locked. UsageError as `require_free`."""
        path = Path(path)
        require_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error, path, 0) from error
        run = cls(path)
        run._acquire()
        try:
            _require_nothing_else(path)  # again, now that nobody else can be making a run here
            clean_leftovers(path)
            sync_folder(path)
            sync_folder(path.parent)
        except OSError as error:
            run.close()
            raise write_error(error, path, 0) from error
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def open(cls, path: Path | str) -> "RunFolder":
        """An existing run folder, locked for writing, with what a crash left half done cleaned away."""
        run = cls(path)
        run._acquire()
        try:
            clean_leftovers(run.path)
            clean_leftovers(run._checkpoints)
        except OSError as error:
            run.close()
            raise write_error(error, run.path, 0) from error
        return run

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except OSError as error:
            raise write_error(error, self.path, 0) from error

    def close(self) -> None:
        self._lock.release()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write_text(self, name: str, text: str) -> None:
        """Replace the file `name` atomically."""
        replace_file(self.path / name, text)

    def write_json(self, name: str, value: Any) -> None:
        """Replace the file `name` atomically; NaN and infinity are refused with ValueError."""
        replace_json(self.path / name, value)

    def read_json(self, name: str) -> Any:
        """DataError when the file is missing or not JSON."""
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            hint = "run the same command again, with another --out"
            raise DataError(f"this run has no {name}", where=str(self.path), hint=hint) from None
        except (OSError, ValueError) as error:
            hint = "restore it from a copy, or run the same command again with another --out"
            raise DataError(f"not readable as JSON: {error}", where=str(self.path / name), hint=hint) from error

    def write_folder(self, name: str, files: Mapping[str, Content]) -> Path:
        """Replace the folder `name` (such as model or adapter) by one with `files`, atomically."""
        replace_folder(self.path / name, files)
        return self.path / name

    def metrics(self) -> MetricsLog:
        """metrics.jsonl, to append to; `metrics_listeners` hear what is appended."""
        return MetricsLog(self.path / "metrics.jsonl", self.metrics_listeners)

    def save_checkpoint(
        self, step: int, files: Mapping[str, Content], keep: int = 2, protect: Collection[int] = ()
    ) -> Checkpoint:
        """Publish checkpoints/step-N with `files` and, last, its manifest; then point `latest` at it, then
        rotate.

        Of the older ones the newest `keep - 1` stay, and those in `protect`. SartorError (disk full,
        input/output error) leaves every earlier checkpoint as it was.
        """
        folder = self._checkpoints / f"step-{step}"
        needed = sum(size_of(content) for content in files.values())
        replace_folder(folder, {**files, manifest.NAME: _write_manifest}, needed)
        self.point_latest(step)
        newer_first = sorted(self.steps(), reverse=True)
        for old in newer_first[max(keep, 1) :]:
            if old not in protect and old != step:
                self._remove_checkpoint(old)
        return Checkpoint(step, folder)

    def point_latest(self, step: int) -> None:
        """Let `latest` name the checkpoint of `step`; it may name an older one where a crash came between the two."""
        pointer, name = self.path / "latest", f"step-{step}\n"
        try:
            points_there = pointer.read_bytes() == name.encode()
        except OSError:
            points_there = False
        if not points_there:
            replace_file(pointer, name)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint folder, ascending; whether they are whole is not looked at."""
        if not self._checkpoints.is_dir():
            return []
        names = (STEP_FOLDER.fullmatch(item.name) for item in self._checkpoints.iterdir() if item.is_dir())
        return sorted(int(name[1]) for name in names if name)

    def newest_checkpoint(self) -> Checkpoint | None:
        """The newest whole checkpoint; each newer one that is damaged is named in a warning. None when there
        is none."""
        for step in reversed(self.steps()):
            checkpoint = Checkpoint(step, self._checkpoints / f"step-{step}")
            problem = manifest.problem_with(checkpoint.folder)
            if problem is None:
                return checkpoint
            warn(f"{checkpoint.folder} is damaged and passed over: {problem}")
        return None

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def _remove_checkpoint(self, step: int) -> None:
        folder = self._checkpoints / f"step-{step}"
        try:
            remove_folder(folder)
        except OSError as error:
            raise SartorError(
                f"an old checkpoint cannot be removed: {error.strerror}",
                where=str(folder),
                hint="check the folder's rights; the new checkpoint is complete",
            ) from error


class FollowedRunFolder(RunFolder):
    """The run folder of a process that works with the one that writes it: what it would write itself, the other one
    does, so it writes nothing."""

    def write_text(self, name: str, text: str) -> None:
        pass

    def write_json(self, name: str, value: Any) -> None:
        pass

    def write_folder(self, name: str, files: Mapping[str, Content]) -> Path:
        return self.path / name


def require_folder_place(path: Path) -> None:
    """UsageError when a file stands where the folder `path`, or one that holds it, would have to be."""
    nearest = next(place for place in (path, *path.parents) if os.path.exists(place))
    if not nearest.is_dir():
        raise UsageError("is a file, not a folder", where=str(nearest), hint="choose another --out")


def require_free(path: Path) -> None:
    """UsageError when no new run folder can be made at `path`, because something is there already; SartorError while
    another process is making one there."""
    require_folder_place(path)
    Lock(path / LOCK_FILE, doing="using this run folder").require_free()
    _require_nothing_else(path)


def _require_nothing_else(path: Path) -> None:
    """A lock file, and with it what a crash left of the very first write, do not count."""
    names = {item.name for item in path.iterdir()} if path.is_dir() else set()
    if LOCK_FILE in names:
        names = {name for name in names - {LOCK_FILE} if not (name.startswith(".") and name.endswith(NEW_SUFFIX))}
    if names:
        raise UsageError(
            "the folder already holds something", where=str(path), hint="choose another --out, or resume this run"
        )


def _write_manifest(path: Path) -> None:
    path.write_text(manifest.manifest_text(path.parent))
