"""What people see while a command works: everything here goes to stderr, data goes to stdout.

A terminal gets live progress bars; a pipe or log file gets a plain line now and then. Of several processes that work
together only the main one speaks.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from sartor.base.distributed import is_main

SECONDS_BETWEEN_PLAIN_LINES = 15.0
MARKED_CONTEXT = 300  # characters
FEWEST_TO_TELL = 0.02  # of the work: from less the time left would be a wild guess


@cache
def console() -> Any:
    """The one rich console on stderr (honours NO_COLOR)."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def say(text: str) -> None:
    """One line of progress or explanation; neither rich markup nor codes of emoji (`:100:`) are interpreted."""
    if is_main():
        console().print(text, markup=False)


def say_marked(label: str, text: str, open_mark: str, close_mark: str) -> None:
    """`text` with what stands between the marks in colour; where there are no colours, the marks stay. Of much that
    stands before the first mark only the beginning and the end are shown, and how much was left out."""
    if not is_main():
        return
    from rich.text import Text

    left_out = text.find(open_mark) - 2 * MARKED_CONTEXT
    if left_out > MARKED_CONTEXT:
        end = MARKED_CONTEXT + left_out
        text = f"{text[:MARKED_CONTEXT]} [… {left_out:,} characters …] {text[end:]}"
    screen = console()
    if screen.color_system is None:
        say(f"{label} ({open_mark}between marks{close_mark}): {text}")
        return
    shown = Text(f"{label} (in colour): ")
    for number, part in enumerate(text.replace(close_mark, open_mark).split(open_mark)):
        shown.append(part, style="bold green" if number % 2 else "dim")
    screen.print(shown)


def warn(text: str) -> None:
    """Something the person should know, though the work goes on."""
    if is_main():
        console().print(f"warning: {text}", style="yellow", markup=False)


def format_seconds(seconds: float) -> str:
    """`42 s`, `3 min 05 s` or `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Progress:
    """Counts work done towards `total` and tells how long is left.

    `update(done, note)` sets the absolute amount done; `advance()` adds to it. What was `done` before this command
    began counts as done, but took none of its time.
    """

    def __init__(self, label: str, total: float, done: float = 0.0):
        self.label, self.total, self.done, self.note = label, max(total, 1e-9), done, ""
        self.done_before = done
        self.started = time.monotonic()
        self._last_line = self.started
        self._bar: Any = None

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        self.update(self.done + amount, note)

    def update(self, done: float, note: str | None = None) -> None:
        self.done = done
        self.note = self.note if note is None else note
        if self._bar is not None:
            self._bar.update(0, completed=done, note=self.note)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_PLAIN_LINES:
            self._last_line = time.monotonic()
            say(self._plain_line())

    def _plain_line(self) -> str:
        eta = ""
        if (done_now := self.done - self.done_before) > FEWEST_TO_TELL * self.total:
            left = (time.monotonic() - self.started) * max(self.total - self.done, 0.0) / done_now
            eta = f", about {format_seconds(left)} left"
        return f"{self.label}: {min(self.done / self.total, 1.0):.0%}{eta}{'  ' + self.note if self.note else ''}"


@contextmanager
def progress(label: str, total: float, done: float = 0.0) -> Iterator[Progress]:
    """Show progress of `label` from `done` towards `total` units with an estimate of the time left."""
    tracker = Progress(label, total, done)
    if not sys.stderr.isatty() or not is_main():
        yield tracker
        return
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=console(), transient=True) as bars:
        bars.add_task(label, total=tracker.total, completed=int(done), note="")
        tracker._bar = bars
        yield tracker
