"""When to ask a remote service again, and how long to wait before."""

import email.utils
import random
import time
from dataclasses import dataclass

LONGEST_BACKOFF_SECONDS = 30.0
LONGEST_RETRY_AFTER_SECONDS = 120.0  # a service that asks for more has stopped serving us for now


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with jitter: the wait doubles from `first_wait_seconds` on.

    `attempts` includes the first.
    """

    attempts: int = 6
    first_wait_seconds: float = 0.5

    def wait_seconds(self, attempt: int, retry_after: str | None) -> float | None:
        """Seconds to wait after failed attempt number `attempt` (from 1); None when it is time to give up.

        A service that asks for longer is obeyed (`Retry-After`: seconds or an HTTP date, RFC 9110 10.2.3); one that
        says 0, or a time that is past by our clock, would get all attempts at once.
        """
        if attempt >= self.attempts:
            return None
        longest = min(self.first_wait_seconds * 2 ** (attempt - 1), LONGEST_BACKOFF_SECONDS)
        own = longest * random.uniform(0.5, 1.0)
        asked = parse_retry_after(retry_after)
        if asked is None:
            return own
        return max(asked, own) if asked <= LONGEST_RETRY_AFTER_SECONDS else None


def parse_retry_after(value: str | None) -> float | None:
    """Seconds from now, at least 0; None when the header is missing or cannot be read."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(seconds, 0.0) if seconds == seconds else None
