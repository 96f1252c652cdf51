"""Manners on the web: robots.txt, a rate for each host, waiting when a server asks for it, few redirects."""

import email.utils
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from protego import Protego

from sartor.data.collecting.entry import Unreachable
from sartor.data.collecting.web.client import Client, Response
from sartor.data.collecting.web.urls import canonical, origin

PRODUCT = "sartor"  # the name that a robots.txt may speak to
REDIRECTS = {301, 302, 303, 307, 308}
BUSY = {429, 503}
ASKED_AGAIN = {"no_connection"}  # a page that used up its time limit once would use it up again
MOST_ROBOTS_BYTES = 500 * 1024  # RFC 9309, section 2.5, asks for at least this much
ROBOTS_VALID_SECONDS = 24 * 3600  # section 2.4
FIRST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class Manners:
    """How often and how patiently. `longest_wait_seconds` bounds what a server may ask for by Crawl-delay or
    Retry-After; past it the page is given up, not fetched earlier."""

    requests_per_second: float = 1.0
    max_redirects: int = 5
    attempts: int = 4
    longest_wait_seconds: float = 300.0


@dataclass(frozen=True)
class RobotsAnswer:
    """What an origin said about robots: a file, no file (all is allowed), or nothing for now (nothing is allowed)."""

    status: str  # "file", "none" or "unknown"
    text: str
    time: float


class RobotsMemory(Protocol):
    """Keeps robots files by origin; the journal does, so that a run that goes on does not ask again."""

    def robots(self, origin: str) -> RobotsAnswer | None: ...

    def keep_robots(self, origin: str, answer: RobotsAnswer) -> None: ...


class PoliteClient:
    """Fetches pages as their owners ask. `sleep`, `clock` (monotonic) and `now` (since 1970) are for tests."""

    def __init__(
        self,
        client: Client,
        manners: Manners,
        robots: RobotsMemory,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ):
        self.client, self.manners = client, manners
        self._robots_memory = robots
        self._sleep, self._clock, self._now = sleep, clock, now
        self._ready: dict[str, float] = {}  # origin -> when the next request may be made
        self._rules: dict[str, tuple[float, Protego | None]] = {}  # read when; None: nothing may be fetched

    def ready_in(self, url: str) -> float:
        """Seconds until this page's host may be asked again."""
        return max(0.0, self._ready.get(origin(url), 0.0) - self._clock())

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Response:
        """The answer at the end of the redirects. Every stop on the way is checked and waited for like the first.

        Unreachable when robots.txt forbids it, or nothing came.
        """
        place = canonical(url)
        for _ in range(self.manners.max_redirects + 1):
            self._require_allowed(place)
            response = self._patiently(place, headers)
            if response.status not in REDIRECTS:
                return response
            if not response.headers.get("location"):
                raise Unreachable("redirect_without_place", f"status {response.status} of {place}")
            place = canonical(response.headers["location"], base=place)
        raise Unreachable("too_many_redirects", f"more than {self.manners.max_redirects}")

    def _patiently(self, url: str, headers: Mapping[str, str] | None) -> Response:
        """One address, asked again after a pause when the server is busy or out of reach."""
        for attempt in range(1, self.manners.attempts + 1):
            self._wait_turn(url)
            pause = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
            try:
                response = self.client.get(url, headers)
                if response.status not in BUSY:
                    return response
                problem = Unreachable("busy", f"status {response.status}", True)
                pause = max(pause, self._asked_pause(response))
            except Unreachable as error:
                if error.reason not in ASKED_AGAIN:
                    raise
                problem = error
            finally:
                self._ready[origin(url)] = self._clock() + self._delay(url)
            if pause > self.manners.longest_wait_seconds:
                raise Unreachable(problem.reason, f"{problem.detail}; it asks to wait {pause:.0f} s", True)
            self._ready[origin(url)] = self._clock() + max(pause, self._delay(url))
        raise Unreachable(problem.reason, f"{problem.detail}, {self.manners.attempts} times", True)

    def _wait_turn(self, url: str) -> None:
        seconds = self.ready_in(url)
        if seconds > 0:
            self._sleep(seconds)

    def _delay(self, url: str) -> float:
        """Seconds between two requests to this host: the longest of our own pace and what robots.txt asks for."""
        _, rules = self._rules.get(origin(url), (0.0, None))
        asked = [1 / self.manners.requests_per_second]
        if rules is not None:
            asked.append(float(rules.crawl_delay(PRODUCT) or 0))
            rate = rules.request_rate(PRODUCT)
            asked.append(rate.seconds / rate.requests if rate and rate.requests else 0)
        return max(asked)

    def _asked_pause(self, response: Response) -> float:
        """Retry-After as seconds or as a date (RFC 9110, section 10.2.3); 0 where there is none."""
        stated = response.headers.get("retry-after", "").strip()
        if stated.isdecimal():
            return float(stated[:9])
        try:
            return max(0.0, email.utils.parsedate_to_datetime(stated).timestamp() - self._now())
        except (ValueError, OverflowError):
            return 0.0

    def _require_allowed(self, url: str) -> None:
        place = origin(url)
        if place not in self._rules or self._now() - self._rules[place][0] >= ROBOTS_VALID_SECONDS:
            answer = self._robots(place)
            self._rules[place] = answer.time, None if answer.status == "unknown" else Protego.parse(answer.text)
        _, rules = self._rules[place]
        if rules is None:
            raise Unreachable(
                "robots_unreachable", f"{place}/robots.txt could not be read, so nothing is fetched", True
            )
        if not rules.can_fetch(url, PRODUCT):
            raise Unreachable("robots_forbid", f"{place}/robots.txt forbids {urlsplit(url).path}")
        if self._delay(url) > self.manners.longest_wait_seconds:
            raise Unreachable("crawl_delay_too_long", f"robots.txt asks for {self._delay(url):.0f} s between requests")

    def _robots(self, place: str) -> RobotsAnswer:
        known = self._robots_memory.robots(place)
        if known is not None and known.status != "unknown" and self._now() - known.time < ROBOTS_VALID_SECONDS:
            return known
        answer = RobotsAnswer(*self._ask_robots(f"{place}/robots.txt"), self._now())
        self._robots_memory.keep_robots(place, answer)
        return answer

    def _ask_robots(self, url: str) -> tuple[str, str]:
        """RFC 9309, section 2.3.1: errors of ours mean that all is allowed, errors of theirs that nothing is."""
        try:
            for _ in range(self.manners.max_redirects + 1):
                response = self._patiently(url, None)
                if response.status not in REDIRECTS or not response.headers.get("location"):
                    break
                url = canonical(response.headers["location"], base=url)
        except Unreachable as error:
            if error.reason == "address_not_public":
                raise
            return ("none" if error.reason == "too_many_redirects" else "unknown"), ""
        if response.status == 200:
            return "file", response.body[:MOST_ROBOTS_BYTES].decode("utf-8-sig", "replace")
        return ("unknown" if response.status >= 500 else "none"), ""
