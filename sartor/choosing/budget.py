"""The same time for every path to be fitted in."""

import re
import time
from dataclasses import dataclass

from sartor.base.errors import UsageError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_seconds(text: str) -> float:
    """`90s`, `20m` or `1.5h` in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if found is None or float(found[1]) == 0:
        raise UsageError(f"{text!r} is not a time", where="--budget", hint="write 90s, 20m or 1.5h")
    return float(found[1]) * UNITS[found[2]]


@dataclass
class Share:
    """One path's time, running from its creation; `before` seconds of it were spent by then (on documents that paths
    share, in a run that was interrupted)."""

    seconds: float
    before: float = 0.0

    def __post_init__(self) -> None:
        self._started = time.monotonic()

    @property
    def spent(self) -> float:
        return self.before + self._running

    @property
    def _running(self) -> float:
        return time.monotonic() - self._started

    @property
    def left(self) -> float:
        return self.seconds - self.spent

    def part(self, part: float) -> "Share":
        """The first `part` of this share, of which as much is spent."""
        return Share(self.seconds * part, self.spent)

    def allows_another(self, num_done: int) -> bool:
        """Whether one more try fits, if it takes as long as the ones before did on average."""
        return num_done == 0 or self.spent + self._running / num_done <= self.seconds
