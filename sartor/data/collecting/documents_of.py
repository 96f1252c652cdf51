"""One file or page in memory to one document: the same for files of a folder, web pages and WARC records."""

from typing import Any

from sartor.base.durable import format_bytes
from sartor.data.collecting.entry import Found, ReadingLimits, Rejected
from sartor.data.collecting.licences import licence_of
from sartor.data.parsers.formats import COMPLEX, HTML, parse
from sartor.data.parsers.html import parse_page
from sartor.data.parsers.isolated import IsolatedParser
from sartor.data.parsers.parsed import Parsed, Unreadable

COMPLEX_RESULT = "text/markdown"
"""What PDF, Word and EPUB become: their text, with Markdown headings where they had headings."""


class DocumentMaker:
    """Parses, checks sizes, and fills in what is known of a document."""

    def __init__(self, limits: ReadingLimits, isolated: IsolatedParser):
        self.limits, self._isolated = limits, isolated

    def make(
        self,
        id: str,
        source: str,
        media_type: str,
        data: bytes,
        time: str | None,
        encoding: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Found | Rejected:
        """The document, or why there is none. `encoding` is what the sender of a web page declared."""
        if len(data) > self.limits.document_bytes:
            return self.too_large(id, len(data))
        try:
            parsed = self._parsed(media_type, data, encoding)
        except Unreadable as error:
            return Rejected(id, "unreadable", error.what)
        if not parsed.text:
            return Rejected(id, "empty", "; ".join(("no text", *parsed.notices)))
        known = dict(metadata or {})
        if parsed.notices:
            known["notices"] = list(parsed.notices)
        if media_type in COMPLEX:
            known["read_from"] = media_type
        return Found(
            id,
            parsed.text,
            source,
            COMPLEX_RESULT if media_type in COMPLEX else media_type,
            time,
            licence_of(parsed.licence) or self.limits.licence,
            parsed.title or None,
            known or None,
        )

    def too_large(self, id: str, size: int | None = None) -> Rejected:
        limit = format_bytes(self.limits.document_bytes)
        sizes = f"{format_bytes(size)}, at most {limit}" if size else f"more than {limit}"
        return Rejected(id, "too_large", f"too large for one document: {sizes}")

    def _parsed(self, media_type: str, data: bytes, encoding: str | None) -> Parsed:
        if media_type in COMPLEX:
            return self._isolated.parse(media_type, data, self.limits.document_bytes)
        if media_type == HTML:
            return parse_page(data, encoding)
        if encoding and encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "us-ascii"):
            data = _as_utf8(data, encoding)
        return parse(media_type, data)


def _as_utf8(data: bytes, encoding: str) -> bytes:
    """Plain text with a declared encoding, as UTF-8; left alone where the encoding is unknown or does not fit."""
    try:
        return data.decode(encoding).encode()
    except (LookupError, UnicodeError):
        return data
