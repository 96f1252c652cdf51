"""From the entries of one item to the journal: counted, in parts of a few megabytes."""

import json
from typing import Any

from sartor.data.collecting.entry import Entry, Found, LeftOut, Rejected
from sartor.data.collecting.journal import Item, Journal, Tally
from sartor.data.documents import documents_table

PART_BYTES = 4_000_000  # of text
PART_ENTRIES = 2_000


class Gatherer:
    """Takes an item's entries; `settle` makes all of them valid together."""

    def __init__(self, journal: Journal, item: Item):
        self._journal, self.item = journal, item
        self.tally = Tally()
        self._documents: list[dict[str, Any]] = []
        self._rejects: list[Rejected] = []
        self._bytes = 0
        self._part = 0
        journal.clear_unfinished(item)

    def add(self, entry: Entry) -> None:
        if isinstance(entry, LeftOut):
            self.tally.left_out[entry.kind] += 1
            return
        self.tally.found += 1
        if isinstance(entry, Found):
            self._add_document(entry)
        else:
            self._reject(entry)
        if self._bytes >= PART_BYTES or len(self._documents) + len(self._rejects) >= PART_ENTRIES:
            self._journal.keep(self.item, *self._take())

    def settle(self, **facts: Any) -> list[Item]:
        """The item is read to its end; its new children, as `Journal.settle`."""
        if self.tally.found != self.tally.documents + self.tally.rejected:
            raise RuntimeError(f"{self.item.name}: {self.tally} does not add up")
        return self._journal.settle(self.item, self.tally, self._take(), **facts)

    def _add_document(self, found: Found) -> None:
        row = _row(found)
        try:
            size = sum(len(value.encode()) for value in row.values() if value is not None)
        except UnicodeEncodeError:
            detail = "its text holds half of a surrogate pair, which no UTF-8 file can hold"
            self._reject(Rejected(found.id.encode("utf-8", "replace").decode(), "not_unicode", detail))
            return
        self.tally.documents += 1
        self._bytes += size
        self._documents.append(row)

    def _reject(self, entry: Rejected) -> None:
        self.tally.rejected += 1
        raw = _clean(entry.raw) if entry.raw is not None else None
        self._rejects.append(Rejected(_clean(entry.id), entry.reason, _clean(entry.detail), raw))

    def _take(self) -> tuple[int, Any, list[Rejected]]:
        part = self._part, documents_table(self._documents) if self._documents else None, self._rejects
        self._documents, self._rejects, self._bytes, self._part = [], [], 0, self._part + 1
        return part


def _row(found: Found) -> dict[str, Any]:
    return {
        "id": found.id,
        "text": found.text,
        "media_type": found.media_type,
        "source": found.source,
        "time": found.time,
        "licence": found.licence,
        "title": found.title,
        "metadata": json.dumps(found.metadata, sort_keys=True) if found.metadata else None,
    }


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
