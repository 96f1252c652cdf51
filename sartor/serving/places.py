"""How much may be under way at once, and when somebody who was turned away should come back."""

import math
import time
from collections import deque
from collections.abc import Callable

from sartor.serving.errors import ApiError

MEASURED_SECONDS = 60.0  # how far back the pace is measured
FIRST_GUESS_SECONDS = 5  # assumed, while nothing has been measured: a few short answers take so long
LONGEST_SECONDS = 600  # nobody should be told to wait longer before he may ask again


class Places:
    """A bounded number of answers under way, those that wait included."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic):
        self.most, self.taken = most, 0
        self._clock = clock
        self._given_back: deque[tuple[float, int]] = deque()  # when, and how many

    def reserve(self, answers: int) -> None:
        """Take so many places. ApiError 429, with an estimate in Retry-After, when there are not enough."""
        missing = self.taken + answers - self.most
        if answers > self.most:
            raise ApiError(400, f"this server answers at most {self.most} at once", param="n", code="invalid_value")
        if missing > 0:
            headers = {"Retry-After": str(self.seconds_until(missing))}
            raise ApiError(429, "too many requests are under way", code="queue_full", headers=headers)
        self.taken += answers

    def release(self, answers: int) -> None:
        self.taken -= answers
        assert self.taken >= 0, "more places were given back than taken"
        self._given_back.append((self._clock(), answers))
        self._forget()

    def seconds_until(self, places: int) -> int:
        """When so many places will be free, at the pace of the last minute: whole seconds, at least one."""
        self._forget()
        if not self._given_back:
            return FIRST_GUESS_SECONDS
        elapsed = max(self._clock() - self._given_back[0][0], 1.0)
        pace = sum(answers for _, answers in self._given_back) / elapsed
        return max(1, min(LONGEST_SECONDS, math.ceil(places / pace)))

    def _forget(self) -> None:
        while self._given_back and self._clock() - self._given_back[0][0] > MEASURED_SECONDS:
            self._given_back.popleft()
