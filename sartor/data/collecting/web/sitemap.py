"""Sitemaps (sitemaps.org protocol 0.9): the pages they list, or, for an index, the sitemaps."""

import gzip
import io
import zlib
from dataclasses import dataclass, field

from sartor.data.collecting.entry import Unreachable
from sartor.data.parsers.parsed import Unreadable
from sartor.data.parsers.safe_xml import xml_events

MOST_ADDRESSES = 50_000  # of one file, by the protocol
MOST_BYTES = 50 * 1024 * 1024  # unpacked, by the protocol
PACKED = b"\x1f\x8b"  # how a gzip stream begins
ROOTS = (b"<urlset", b"<sitemapindex")
LOOKED_AT_BYTES = 4_096


@dataclass
class Sitemap:
    """`pages` and `sitemaps` in their order; one of the two is empty."""

    pages: list[str] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)


def looks_like_sitemap(body: bytes) -> bool:
    """Whether a body, packed or not, begins as a sitemap."""
    beginning = body[:LOOKED_AT_BYTES]
    if beginning[:2] == PACKED:
        try:
            beginning = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body[:65_536], LOOKED_AT_BYTES)
        except zlib.error:
            return False
    beginning = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    return beginning.startswith((b"<?xml", *ROOTS)) and any(root in beginning for root in ROOTS)


def read_sitemap(body: bytes) -> Sitemap:
    """Unreachable for what is damaged, or larger than the protocol allows."""
    if body[:2] == PACKED:
        body = _unpacked(body)
    sitemap = Sitemap()
    of = ""
    place: list[str] = []
    inside = False
    try:
        for kind, value, _ in xml_events(body):
            if kind == "start" and value in ("url", "sitemap"):
                of = value
            elif value == "loc" and kind in ("start", "end"):
                inside = kind == "start"
                if not inside and of:
                    _add(sitemap, of, "".join(place).strip())
                place = []
            elif kind == "end" and value == of:
                of = ""
            elif kind == "text" and inside:
                place.append(value)
    except Unreadable as error:
        raise Unreachable("damaged_sitemap", error.what) from None
    return sitemap


def _add(sitemap: Sitemap, of: str, place: str) -> None:
    if not place:
        return
    (sitemap.pages if of == "url" else sitemap.sitemaps).append(place)
    if len(sitemap.pages) + len(sitemap.sitemaps) > MOST_ADDRESSES:
        raise Unreachable("sitemap_too_long", f"lists more than {MOST_ADDRESSES:,} addresses")


def _unpacked(body: bytes) -> bytes:
    try:
        data = gzip.GzipFile(fileobj=io.BytesIO(body)).read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreachable("damaged_sitemap", f"cannot be unpacked: {error}") from None
    if len(data) > MOST_BYTES:
        raise Unreachable("sitemap_too_long", f"unpacks to more than {MOST_BYTES // 2**20} MiB")
    return data
