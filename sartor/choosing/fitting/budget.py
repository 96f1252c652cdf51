"""The same effort for every path to be fitted with: an equal part of a time, or of an amount of money."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sartor.base.console import format_seconds
from sartor.base.errors import UsageError
from sartor.choosing.fitting.tries import Tries

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
MONEY = re.compile(r"(?:\$(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?) ?usd)", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """`seconds` of this machine for all paths together. A budget in `dollars` is as many seconds as they pay for, and
    what a remote model charges is taken out of them."""

    text: str
    seconds: float
    dollars: float | None = None

    def share_of(self, num_paths: int) -> "Budget":
        """What one of so many paths has."""
        dollars = None if self.dollars is None else self.dollars / num_paths
        return Budget(self.text, self.seconds / num_paths, dollars)

    def __str__(self) -> str:
        if self.dollars is None:
            return format_seconds(self.seconds)
        return f"${self.dollars:.2f}, which is {format_seconds(self.seconds)} of this machine or what a service charges"


def parse_budget(text: str, machine_price: float) -> Budget:
    """`90s`, `20m` or `1.5h`, or `5usd`, which buys time at `machine_price` US dollars an hour. UsageError for
    anything else."""
    money = MONEY.fullmatch(text.strip())
    if money is None:
        return Budget(text, parse_seconds(text))
    dollars = float(money[1] or money[2])
    if dollars == 0 or machine_price == 0:
        what = "no money buys nothing" if dollars == 0 else "money buys no end of a machine that costs nothing"
        raise UsageError(f"{text!r}: {what}", where="--budget", hint="give a time such as 20m")
    return Budget(text, dollars / machine_price * 3600, dollars)


def parse_seconds(text: str) -> float:
    """`90s`, `20m` or `1.5h` in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if found is None or float(found[1]) == 0:
        hint = "write 90s, 20m or 1.5h, or 5usd"
        raise UsageError(f"{text!r} is not a time or an amount of money", where="--budget", hint=hint)
    return float(found[1]) * UNITS[found[2]]


@dataclass
class Share:
    """One path's time, running from its creation; `before` seconds of it were spent by then (on documents that paths
    share, in a run that was interrupted). `charged` says how many seconds' worth a remote model has charged so far,
    where the budget is money. `tries` keeps what the time went into."""

    seconds: float
    before: float = 0.0
    charged: Callable[[], float] = field(default=lambda: 0.0)
    tries: Tries = field(default_factory=Tries)

    def __post_init__(self) -> None:
        self._started = time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds of time, without what was charged."""
        return self.before + time.monotonic() - self._started

    @property
    def left(self) -> float:
        return self.seconds - self.spent - self.charged()

    def part(self, part: float) -> "Share":
        """The first `part` of this share, of which as much is spent."""
        return Share(self.seconds * part, self.spent, self.charged, self.tries)
