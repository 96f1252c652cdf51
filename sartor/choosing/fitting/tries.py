"""What was tried on dev rows, kept as it is done, so that a run that was killed does not try it again."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.base.metrics import MetricsLog, read_metrics

TRIES_FILE = "tries.jsonl"  # of a path


@dataclass(frozen=True)
class Done:
    """What a try came to, and how long it took when it was made."""

    value: Any
    seconds: float


class Tries:
    """The tries of one path, in `file` (None: they are not kept).

    A try is known by what it was about: the same candidate, asked the same rows, comes to the same value.
    """

    def __init__(self, file: Path | None = None):
        self._file = file
        lines = read_metrics(file) if file is not None else []
        self._done = {str(line["about"]): Done(line["value"], line["seconds"]) for line in lines}

    @property
    def seconds(self) -> float:
        """Of all tries together."""
        return sum(done.seconds for done in self._done.values())

    def knows(self, *about: object) -> bool:
        return _key(about) in self._done

    def once(self, work: Callable[[], Any], *about: object, keep: Callable[[Any], bool] = lambda value: True) -> Done:
        """What `work` gives (a value that JSON can hold), or gave when it was done before. `about` says by their
        `repr` all that it depends on. A run that goes on does again what `keep` did not want to be kept."""
        key = _key(about)
        if key not in self._done:
            started = time.monotonic()
            value = work()
            self._note(key, Done(value, time.monotonic() - started), keep(value))
        return self._done[key]

    def _note(self, key: str, done: Done, lasting: bool) -> None:
        self._done[key] = done
        if self._file is not None and lasting:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with MetricsLog(self._file) as log:
                log.append({"about": key, "value": done.value, "seconds": done.seconds})
                log.sync()


def _key(about: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(about).encode("utf-8", "surrogatepass")).hexdigest()
