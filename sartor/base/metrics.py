"""What a run measured, one JSON object a line, only ever appended."""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sartor.base.durable import write_error
from sartor.base.errors import DataError

Listener = Callable[[Mapping[str, Any]], None]


class MetricsLog:
    """Appends to `path` (metrics.jsonl). A last line that a crash left torn is cut off when the log is
    opened. Each of `listeners` is handed every record once it is written, with NaN and infinity as they are."""

    def __init__(self, path: Path, listeners: Sequence[Listener] = ()):
        self.path, self._listeners = path, listeners
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            os.ftruncate(self._descriptor, _end_of_last_line(path))
        except OSError as error:
            raise write_error(error, path, 0) from error

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one line whole. NaN and infinity become the texts "NaN", "Infinity" and "-Infinity"."""
        text = json.dumps(_finite(record), ensure_ascii=False, allow_nan=False)
        line = (text + "\n").encode(errors="backslashreplace")  # of half a surrogate pair, just as JSON escapes it
        before = self.position
        try:
            written = os.write(self._descriptor, line)
            if written < len(line):  # the disk is full: the second write says so
                os.write(self._descriptor, line[written:])
        except OSError as error:
            os.ftruncate(self._descriptor, before)
            raise write_error(error, self.path, len(line)) from error
        for listener in self._listeners:
            listener(record)

    @property
    def position(self) -> int:
        """Bytes so far: a checkpoint keeps it, so that a resumed run continues from the very same line."""
        return os.fstat(self._descriptor).st_size

    def rewind(self, position: int) -> None:
        """Drop the lines after `position`. DataError when the log is shorter than that."""
        if position > self.position:
            raise DataError(
                f"has {self.position} bytes, fewer than the {position} that a checkpoint refers to",
                where=str(self.path),
                hint="restore it from a copy, or begin again with another --out",
            )
        try:
            os.ftruncate(self._descriptor, position)
        except OSError as error:
            raise write_error(error, self.path, 0) from error

    def sync(self) -> None:
        """Make the lines so far durable: to be called before a checkpoint refers to them. SartorError when the disk
        fails."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise write_error(error, self.path, 0) from error

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a metrics file; empty when there is no file. The log may be open in another process.
    DataError for a file that cannot be read."""
    if not path.is_file():
        return []
    try:
        content = path.read_bytes()
        return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), hint="restore it from a copy") from error


def _end_of_last_line(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
