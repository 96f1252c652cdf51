"""What a person judged, on disk: `preferences.jsonl` for `sartor dpo` and `sartor reward`, and beside it
`preferences.ties.jsonl` for what is no preference (ties, skips, and pairs that nobody was shown).

Every line is durable once `add` returns. A line that a crash left torn is cut off when the files are opened.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.base.console import warn
from sartor.base.durable import sync_folder, write_error
from sartor.base.errors import DataError, UsageError
from sartor.base.lock import Lock
from sartor.base.metrics import MetricsLog

ENDING = ".jsonl"
PREFERENCE_COLUMNS = ("chosen", "rejected")
TIE_COLUMNS = ("verdict", "left", "right")
Line = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a line was written: bytes `start` to `end` of a file."""

    lines: "_Lines"
    start: int
    end: int


class Judgements:
    """Both files, held by one process from `with` to its end. `before` are their lines as they were then.

    UsageError for a file that is not .jsonl, DataError for one that holds other rows, SartorError naming the process
    that holds them.
    """

    def __init__(self, file: Path):
        if file.suffix != ENDING or file.is_dir():
            raise UsageError("is no .jsonl file", where=str(file), hint="name a file such as preferences.jsonl")
        self.file, self.ties_file = file, file.with_suffix(".ties" + ENDING)
        self._lock = Lock(file.with_name(f".{file.name}.lock"), f"recording judgements in {file.name}")
        self._preferences = _Lines(self.file, PREFERENCE_COLUMNS)
        self._ties = _Lines(self.ties_file, TIE_COLUMNS)
        self.before: list[Line] = []

    def require_usable(self) -> None:
        """The errors that `with` would raise, as far as they show without writing anything."""
        self._lock.require_free()
        self._preferences.read()
        self._ties.read()

    def add(self, line: Mapping[str, Any], is_preference: bool) -> Place:
        """Append a line, durably. SartorError when it cannot be written; then the file is as it was."""
        return (self._preferences if is_preference else self._ties).append(line)

    def remove(self, place: Place) -> None:
        """Take back a line that was added; those added after it move up."""
        place.lines.remove(place.start, place.end)

    def __enter__(self) -> "Judgements":
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error, self.file.parent, 0) from error
        self._lock.acquire()
        try:
            self.before = [*self._preferences.open(), *self._ties.open()]
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._preferences.close()
        self._ties.close()
        self._lock.release()


class _Lines:
    """A file of JSON objects that all have `columns`. It comes into being with its first line."""

    def __init__(self, path: Path, columns: tuple[str, ...]):
        self.path, self.columns = path, columns
        self._log: MetricsLog | None = None

    def read(self) -> list[Line]:
        """Every whole line. DataError, with its number, for one that is no such object; a torn last one is left out."""
        content = self.path.read_bytes() if self.path.is_file() else b""
        whole = content if _is_object(_last(content)) else content[: content.rfind(b"\n") + 1]
        found = []
        for number, text in enumerate(whole.split(b"\n"), start=1):
            if not text.strip():
                continue
            line = json.loads(text) if _is_object(text) else {}
            if not all(column in line for column in self.columns):
                hint = "correct or remove the line, or name another file with --out"
                what = f"is no row with {', '.join(self.columns)}"
                raise DataError(what, where=f"{self.path}:{number}", hint=hint)
            found.append(line)
        return found

    def open(self) -> list[Line]:
        """`read`, and mend the end of the file: a whole line without its line break gets one, a torn one goes."""
        found = self.read()
        last = _last(self.path.read_bytes()) if self.path.is_file() else b""
        if _is_object(last):
            try:
                with self.path.open("ab") as stream:
                    stream.write(b"\n")
            except OSError as error:
                raise write_error(error, self.path, 1) from error
        elif last:
            warn(f"{self.path}: the last line was not written to its end ({len(last):,} bytes) and is cut off")
        if self.path.is_file():
            self._open_log()
        return found

    def append(self, line: Mapping[str, Any]) -> Place:
        log = self._log or self._open_log()
        start = log.position
        log.append(line)
        try:
            log.sync()
        except OSError as error:
            log.rewind(start)
            raise write_error(error, self.path, log.position - start) from error
        return Place(self, start, log.position)

    def remove(self, start: int, end: int) -> None:
        assert self._log is not None, "a line is removed from the file that it was added to"
        after = self.path.read_bytes()[end:]
        self._log.rewind(start)
        for line in after.splitlines():  # a crash here loses lines of pairs that nobody was shown: they are made again
            self._log.append(json.loads(line))
        self._log.sync()

    def close(self) -> None:
        """A file in which nothing is left goes, since an empty file of rows is an error to whoever reads it."""
        if self._log is None:
            return
        is_empty = self._log.position == 0
        self._log.close()
        self._log = None
        if is_empty:
            self.path.unlink()

    def _open_log(self) -> MetricsLog:
        is_new = not self.path.exists()
        self._log = MetricsLog(self.path)  # cuts off a torn last line
        if is_new:
            sync_folder(self.path.parent)
        return self._log


def _last(content: bytes) -> bytes:
    """What stands after the last line break."""
    return content[content.rfind(b"\n") + 1 :].strip()


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
