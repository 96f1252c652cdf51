"""Waiting in turn: every client has a queue of its own, and the clients are served one after the other."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """First in, first out for one client; round robin between clients.

    So a client that asks a thousand times at once delays another's question by one answer, not by a thousand.
    Items are told apart by identity.
    """

    def __init__(self) -> None:
        self._queues: OrderedDict[Hashable, deque[Item]] = OrderedDict()  # none is empty; the first is next

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def push(self, client: Hashable, item: Item) -> None:
        self._queues.setdefault(client, deque()).append(item)

    def pop(self) -> Item:
        """The next one; its client goes to the end of the line. IndexError when nothing waits."""
        if not self._queues:
            raise IndexError("the queue is empty")
        client, queue = self._queues.popitem(last=False)
        item = queue.popleft()
        if queue:
            self._queues[client] = queue
        return item

    def remove(self, client: Hashable, item: Item) -> bool:
        """Take an item out before its turn; whether it was still there."""
        queue = self._queues.get(client, deque())
        kept = deque(other for other in queue if other is not item)
        if len(kept) == len(queue):
            return False
        if kept:
            self._queues[client] = kept
        else:
            del self._queues[client]
        return True


class FairGate:
    """Lets so many in at once; who waits is let in by turns. All of it belongs to one event loop."""

    def __init__(self, places: int):
        self._free = places
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    @asynccontextmanager
    async def enter(self, client: Hashable) -> AsyncIterator[None]:
        await self._wait(client)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, client: Hashable) -> None:
        if self._free and not len(self._waiting):
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.push(client, turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting.remove(client, turn)
            if not turn.cancelled():
                self._leave()  # its turn had come, and goes to the next
            raise

    def _leave(self) -> None:
        """Hand the place on to whoever is next and has not been told to leave himself."""
        while len(self._waiting):
            turn = self._waiting.pop()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
