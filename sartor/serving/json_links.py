"""The link filter for answers that are held to JSON: it changes what their strings say, never their form."""

import json
import re
from collections.abc import Iterator
from typing import Any

from sartor.retrieval.links import LinkFilter

UP_TO_A_STRING = re.compile(r'[^"]*("[^"\\]*(?:\\.[^"\\]*)*")', re.DOTALL)


class JsonLinkFilter:
    """JSON in pieces, `push`ed as it comes and `finish`ed, comes out with every string, names included, filtered as its
    reader will see it: `\\u0068ttp://` is an address as well. A string is held back until it ends.

    Strings in `given`, the schema that was asked for, stay as they are. All else (numbers, white space, the order) is
    left as it was written.
    """

    def __init__(self, links: LinkFilter, given: Any):
        self._links, self._given = links, set(strings_in(given))
        self._held = ""

    @property
    def removed(self) -> list[str]:
        return self._links.removed

    def push(self, text: str) -> str:
        """What is safe to show by now."""
        self._held += text
        shown, done = "", 0
        while found := UP_TO_A_STRING.match(self._held, done):
            shown += self._held[done : found.start(1)] + self._filtered(found[1])
            done = found.end()
        begun = self._held.find('"', done)
        end = begun if begun >= 0 else len(self._held)
        shown, self._held = shown + self._held[done:end], self._held[end:]
        return shown

    def finish(self) -> str:
        """The rest: a string that was cut off where the answer reached its greatest length."""
        rest, self._held = self._held, ""
        if not rest:
            return ""
        try:
            return self._filtered(rest + '"')[:-1]
        except ValueError:  # cut within an escape
            return self._plainly(rest)

    def _filtered(self, literal: str) -> str:
        text = json.loads(literal, strict=False)
        if text in self._given:
            return literal
        filtered = self._plainly(text)
        return literal if filtered == text else json.dumps(filtered, ensure_ascii=False)

    def _plainly(self, text: str) -> str:
        return self._links.push(text) + self._links.finish()


def strings_in(value: Any) -> Iterator[str]:
    """Every string in a JSON value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from strings_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings_in(each)
