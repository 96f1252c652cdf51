"""Web archives: WARC files with what servers answered, WET files with the text of pages (ISO 28500, Common Crawl)."""

import re
from pathlib import Path
from typing import Any, BinaryIO

from fastwarc.warc import ArchiveIterator, WarcRecord

from sartor.base.errors import DataError
from sartor.data.collecting.documents_of import DocumentMaker
from sartor.data.collecting.entry import Entries, Entry, LeftOut, Rejected, Unreachable, utc_time
from sartor.data.collecting.web.client import bounded, gunzip
from sartor.data.collecting.web.pages import with_stated_licence
from sartor.data.opening import first_line, opened
from sartor.data.parsers.formats import PLAIN, readable_type

PACKED = b"\x1f\x8b"  # how a gzip stream begins
CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;|$)")
LONGEST_CHUNK_LINE = 200
CANDIDATES = ("response", "conversion", "resource")


def read_warc(path: Path, name: str, maker: DocumentMaker) -> Entries:
    """An entry for every record; only answers with status 200, texts and web resources are candidates.

    DataError where the file is damaged: what stood before it is kept.
    """
    number = 0
    with opened(path) as stream:
        try:
            for record in ArchiveIterator(_Forward(stream), stream_detect=False):
                number += 1
                yield _entry(record, f"{name}#{number}", name, maker)
        except (OSError, EOFError, ValueError) as error:
            what = f"is damaged after record {number}: {first_line(error)}"
            raise DataError(what, where=str(path), hint="fetch the file again") from None
    if number == 0:
        raise DataError("holds no records", where=str(path), hint="is it a WARC file?")


class _Forward:
    """The stream as fastwarc wants it: it asks for the position, which our unpacked streams do not tell, but goes
    forward only."""

    def __init__(self, stream: BinaryIO):
        self._stream, self._position = stream, 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._position += len(data)
        return data

    def close(self) -> None:
        self._stream.close()

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        if (offset, whence) not in ((0, 1), (self._position, 0)):
            raise OSError("this stream goes forward only")
        return self._position


def _entry(record: WarcRecord, id: str, file: str, maker: DocumentMaker) -> Entry:
    url = (record.headers.get("WARC-Target-URI") or "").strip("<>")
    kind = _kind(record)
    if kind not in CANDIDATES or (kind == "resource" and not url.startswith(("http://", "https://"))):
        return LeftOut(f"{kind} records")
    if kind == "response" and not record.is_http:
        return LeftOut("response records of other protocols")
    status = record.http_headers.status_code if record.http_headers else 200
    if status != 200:
        return Rejected(id, f"http_{status}", f"{url}: the server answered {status}")
    stated = record.http_content_type if record.http_headers else record.headers.get("Content-Type")
    media_type = PLAIN if kind == "conversion" else readable_type(stated or "")
    if media_type is None:
        return Rejected(id, "no_document", f"{url}: its type is {(stated or 'not stated')[:100]}")
    return _document(record, id, url, file, media_type, maker)


def _kind(record: WarcRecord) -> str:
    return (record.headers.get("WARC-Type") or "untyped").strip().lower()


def _document(record: WarcRecord, id: str, url: str, file: str, media_type: str, maker: DocumentMaker) -> Entry:
    limit, length = maker.limits.document_bytes, record.content_length
    if length > limit:
        return maker.too_large(id, length)
    data = record.reader.read(length)
    if len(data) < length:
        return Rejected(id, "damaged", f"{url}: the file ends within this record")
    try:
        data = _decoded(data, record, limit)
    except Unreachable as error:
        return Rejected(id, error.reason, f"{url}: {error.detail}")
    time = utc_time(record.record_date.timestamp()) if record.record_date else None
    entry = maker.make(id, url or file, media_type, data, time, record.http_charset, _metadata(record, file))
    headers = record.http_headers
    return with_stated_licence(entry, (headers.get("Link") or "") if headers else "")


def _decoded(data: bytes, record: WarcRecord, limit: int) -> bytes:
    """The payload as the page's author wrote it. Many archives keep it so; others keep what went over the wire."""
    headers = record.http_headers
    if headers is None:
        return data
    if (headers.get("Transfer-Encoding") or "").strip().lower() == "chunked":
        data = dechunk(data)
    encoding = (headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return b"".join(bounded(gunzip([data]), limit)) if data.startswith(PACKED) else data
    if encoding not in ("identity", "", "none"):
        raise Unreachable("unknown_encoding", f"it is packed as {encoding[:40]}")
    return data


def dechunk(data: bytes) -> bytes:
    """Content in chunks (RFC 9112, section 7.1), put together. What was put together already is left as it is."""
    pieces: list[bytes] = []
    position = 0
    while (end := data.find(b"\r\n", position, position + LONGEST_CHUNK_LINE)) >= 0:
        size = CHUNK_SIZE.match(data, position, end)
        if size is None:
            return data
        length = int(size[1], 16)
        if length == 0:
            return b"".join(pieces)
        pieces.append(data[end + 2 : end + 2 + length])
        position = end + 2 + length + 2
    return data if not pieces else b"".join(pieces)


def _metadata(record: WarcRecord, file: str) -> dict[str, Any]:
    found = {
        "file": file,
        "record": record.record_id,
        "truncated": record.headers.get("WARC-Truncated"),
        "language": record.headers.get("WARC-Identified-Content-Language"),
    }
    return {key: value for key, value in found.items() if value}
