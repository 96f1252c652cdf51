"""Waits for changes of files: a moment after the last of several, woken by the system where watchfiles is installed."""

import time
from collections.abc import Iterator
from pathlib import Path

try:
    import watchfiles
except ModuleNotFoundError:  # an extra: without it the files are looked at every second
    watchfiles = None  # type: ignore[assignment]

LOOK_SECONDS = 1.0
LOOK_ANYWAY_MILLISECONDS = 5_000
"""Network folders report no changes: they are looked at even if nothing was heard."""

QUIET_SECONDS = 0.2
State = dict[str, tuple[int, int]]


def changes(source: Path, ignored: Path | None = None) -> Iterator[None]:
    """Once at the start, and then whenever the file or folder is not as it was at the step before; never ends.

    What changes while the caller works is the next step. `ignored` and files whose names begin with its name do not
    count, so that a knowledge file may lie among its documents.
    """
    seen: State | None = None
    for _ in _wakings(source if source.is_dir() else source.parent):
        now = _quiet_state(source, ignored)
        if now != seen:
            seen = now
            yield


def _wakings(folder: Path) -> Iterator[None]:
    yield
    if watchfiles is None:
        while True:
            time.sleep(LOOK_SECONDS)
            yield
    for _ in watchfiles.watch(
        folder, watch_filter=None, debounce=1_000, rust_timeout=LOOK_ANYWAY_MILLISECONDS, yield_on_timeout=True
    ):
        yield


def _quiet_state(source: Path, ignored: Path | None) -> State:
    """The state after which nothing happens for a moment, but never waited for longer than some seconds."""
    state = _state(source, ignored)
    for _ in range(20):
        time.sleep(QUIET_SECONDS)
        before, state = state, _state(source, ignored)
        if state == before:
            break
    return state


def _state(source: Path, ignored: Path | None) -> State:
    """Time of change and size of every file."""
    left_out = None if ignored is None else str(ignored.absolute())
    found: State = {}
    for path in [source] if source.is_file() else source.rglob("*"):
        if left_out is not None and str(path.absolute()).startswith(left_out):
            continue
        try:
            facts = path.stat()
        except OSError:  # gone meanwhile, or a link to nothing
            continue
        if not path.is_dir():
            found[str(path)] = (facts.st_mtime_ns, facts.st_size)
    return found
