"""What collecting finds: documents, what could not be read, and what is no document at all."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Found:
    """A document, with the columns of `data/documents.py` that are known when it is collected."""

    id: str
    text: str
    source: str
    media_type: str = "text/plain"
    time: str | None = None
    licence: str | None = None
    title: str | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True)
class Rejected:
    """A candidate that gave no document. `reason` is a short identifier, the same for all of a kind; `detail` is for
    people; `raw` is the beginning of what stood there, where that helps to find it."""

    id: str
    reason: str
    detail: str
    raw: str | None = None


@dataclass(frozen=True)
class LeftOut:
    """Something that is not a candidate: a hidden file, a request record. It is counted by its kind."""

    kind: str


Entry = Found | Rejected | LeftOut
Entries = Iterator[Entry]


class Unreachable(Exception):
    """An item that could not be got. `is_temporary` says that a later run may succeed."""

    def __init__(self, reason: str, detail: str, is_temporary: bool = False):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.is_temporary = reason, detail, is_temporary


@dataclass(frozen=True)
class ReadingLimits:
    """How a file or page becomes documents. `document_bytes` bounds one document, `licence` is that of documents which
    state none, `text_field` the column of rows."""

    document_bytes: int
    text_field: str = "text"
    licence: str | None = None


def utc_time(seconds: float) -> str:
    """A time stamp as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
