"""Visiting web addresses: host after host as their owners allow, each address once a round."""

import hashlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sartor.data.collecting.documents_of import DocumentMaker
from sartor.data.collecting.entry import Rejected, Unreachable, utc_time
from sartor.data.collecting.gathering import Gatherer
from sartor.data.collecting.journal import KEPT, UNCHANGED, Item, Journal
from sartor.data.collecting.web.client import Response
from sartor.data.collecting.web.pages import PAGE, SITEMAP, Visit, read_response
from sartor.data.collecting.web.polite import PoliteClient
from sartor.data.collecting.web.urls import origin

WEB_KINDS = (PAGE, SITEMAP)


@dataclass(frozen=True)
class Step:
    """After each address: how many are done, how many are known, which it was."""

    done: int
    known: int
    url: str


class Crawl:
    """The web addresses of a round. Whoever may be asked soonest comes next, so that a slow host holds up no other."""

    def __init__(self, journal: Journal, client: PoliteClient, maker: DocumentMaker, max_pages: int):
        self._journal, self._client, self._maker, self._max_pages = journal, client, maker, max_pages
        self._waiting: dict[str, deque[Item]] = {}
        self._known = journal.count_seen(WEB_KINDS)
        for item in journal.pending(WEB_KINDS):
            self._enqueue(item)

    def run(self, after_each: Callable[[Step], None]) -> None:
        """Visit everything that is pending and whatever it leads to; `after_each` may stop it with an exception."""
        while self._waiting:
            place = min(self._waiting, key=self._client.ready_in)
            item = self._waiting[place].popleft()
            if not self._waiting[place]:
                del self._waiting[place]
            for child in self._visit(item):
                self._known += 1
                self._enqueue(child)
            left = sum(len(items) for items in self._waiting.values())
            after_each(Step(self._known - left, self._known, item.key))

    def _enqueue(self, item: Item) -> None:
        self._waiting.setdefault(origin(item.key), deque()).append(item)

    def _visit(self, item: Item) -> list[Item]:
        """New addresses that the item led to."""
        try:
            response = self._client.get(item.key, _conditions(item))
            if response.status >= 500:
                raise Unreachable(f"http_{response.status}", f"the server answered {response.status}", True)
            if response.status == 304 and item.settled:
                return self._journal.leave(item, UNCHANGED)
            fingerprint = hashlib.sha256(response.body).hexdigest()
            if item.settled and response.status == 200 and fingerprint == item.fingerprint:
                return self._journal.leave(item, UNCHANGED)
            return self._take(item, response, fingerprint)
        except Unreachable as error:
            if error.is_temporary and (item.documents or self._journal.has_links(item)):
                return self._journal.leave(item, KEPT, f"{error.reason}: {error.detail}")
            gatherer = Gatherer(self._journal, item)
            gatherer.add(Rejected(item.key, error.reason, error.detail))
            return gatherer.settle()

    def _take(self, item: Item, response: Response, fingerprint: str) -> list[Item]:
        visit = read_response(response, item.key, item.kind, item.depth, utc_time(time.time()), self._maker)
        gatherer = Gatherer(self._journal, item)
        for entry in visit.entries:
            gatherer.add(entry)
        children = self._allowed(item, visit, gatherer)
        if response.status != 200:
            return gatherer.settle(children=children)
        if len(children) < len(visit.found):
            return gatherer.settle(children=children)  # read again next time, when there may be room for the rest
        facts = {"fingerprint": fingerprint, "etag": visit.etag, "last_modified": visit.last_modified}
        return gatherer.settle(children=children, **facts)

    def _allowed(self, item: Item, visit: Visit, gatherer: Gatherer) -> list[tuple[str, str, int]]:
        """The addresses found, (kind, key, depth), as far as the limit of pages goes; the rest is named."""
        room = max(0, self._max_pages - self._known)
        unknown = [key for _, key in visit.found if not self._journal.is_seen(key)]
        beyond = set(unknown[room:])
        for key in unknown[room:]:
            gatherer.add(Rejected(key, "page_limit", f"more than {self._max_pages:,} addresses (--max-pages)"))
        deeper = item.depth - 1 if visit.is_page else item.depth
        return [(kind, key, deeper) for kind, key in visit.found if key not in beyond]


def _conditions(item: Item) -> dict[str, str]:
    """What to ask a server for when an answer is here already."""
    headers = {"If-None-Match": item.etag, "If-Modified-Since": item.last_modified}
    return {name: value for name, value in headers.items() if value and item.settled}
