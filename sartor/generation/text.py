"""Tokens to text while they arrive: whole characters only, and nothing that may turn out to be a stop string."""

from collections.abc import Callable, Sequence

BROKEN_CHARACTER = "\ufffd"


class TextStream:
    """Collects a reply's tokens; `push` gives the text that is safe to show.

    `decode` turns ids into text. `stopped` becomes True when a stop string was found; it and what follows are cut.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str]):
        self._decode, self._stop = decode, [text for text in stop if text]
        self._ids: list[int] = []
        self._context, self._done = 0, 0  # tokens before `_done` are text already; decoding starts at `_context`
        self.text = ""
        self._shown = 0
        self.stopped = False

    def push(self, token: int) -> str:
        self._ids.append(token)
        self._read(final=False)
        return self._show(final=False)

    def finish(self) -> str:
        """The rest: broken characters and held-back text included."""
        self._read(final=True)
        return self._show(final=True)

    def _read(self, final: bool) -> None:
        if self.stopped or self._done == len(self._ids):
            return
        known = self._decode(self._ids[self._context : self._done])
        text = self._decode(self._ids[self._context :])
        if text.endswith(BROKEN_CHARACTER) and not final and len(self._ids) - self._done < 4:
            return  # a character of up to four bytes may still be completed
        before = len(self.text)
        self.text += text[len(known) :]
        self._context, self._done = self._done, len(self._ids)
        self._cut(before)

    def _cut(self, before: int) -> None:
        found = [self.text.find(stop, max(0, before - len(stop) + 1)) for stop in self._stop]
        places = [place for place in found if place >= 0]
        if places:
            self.text, self.stopped = self.text[: min(places)], True

    def _show(self, final: bool) -> str:
        end = len(self.text)
        if not (final or self.stopped):
            end -= max((_overlap(self.text, stop) for stop in self._stop), default=0)
        shown = self.text[self._shown : end]
        self._shown = max(self._shown, end)
        return shown


def _overlap(text: str, stop: str) -> int:
    """How many last characters of the text could begin the stop string."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
