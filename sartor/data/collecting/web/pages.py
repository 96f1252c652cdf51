"""What a server answered, as a document, a sitemap, or a reason why there is neither."""

import re
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from sartor.data.collecting.documents_of import DocumentMaker
from sartor.data.collecting.entry import Entry, Found, LeftOut, Rejected, Unreachable
from sartor.data.collecting.licences import licence_of
from sartor.data.collecting.web.client import Response
from sartor.data.collecting.web.sitemap import looks_like_sitemap, read_sitemap
from sartor.data.collecting.web.urls import canonical
from sartor.data.parsers.decoding import decode_page
from sartor.data.parsers.formats import HTML, PLAIN, media_type_of, readable_type
from sartor.data.parsers.html import links

LICENCE_LINK = re.compile(r"<([^>]*)>[^,]*;\s*rel\s*=\s*\"?license\"?", re.IGNORECASE)  # RFC 8288, RFC 4946
CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
PAGE, SITEMAP = "page", "sitemap"


@dataclass
class Visit:
    """What came of one address. `found` pages and sitemaps are (kind, address) and are still to be visited."""

    entries: list[Entry] = field(default_factory=list)
    found: list[tuple[str, str]] = field(default_factory=list)
    etag: str | None = None
    last_modified: str | None = None

    @property
    def is_page(self) -> bool:
        """Whether it was a document: links found in it lead one step further, those of a sitemap do not."""
        return any(isinstance(entry, Found) for entry in self.entries)


def read_response(response: Response, url: str, kind: str, depth: int, time: str, maker: DocumentMaker) -> Visit:
    """The document of a page, or the addresses of a sitemap; `depth` is how many links may still be followed."""
    visit = Visit(etag=response.headers.get("etag"), last_modified=response.headers.get("last-modified"))
    if response.status != 200:
        visit.entries.append(Rejected(url, f"http_{response.status}", f"the server answered {response.status}"))
    elif looks_like_sitemap(response.body):
        _list_sitemap(response, url, kind, visit)
    elif kind == SITEMAP:
        visit.entries.append(Rejected(url, "no_sitemap", "a sitemap was expected here"))
    else:
        visit.entries.append(_document(response, url, time, maker))
        if depth > 0 and _type(response) == HTML:
            visit.found += [(PAGE, link) for link in _links(response)]
    return visit


def _document(response: Response, url: str, time: str, maker: DocumentMaker) -> Entry:
    media_type = _type(response)
    if media_type is None:
        return Rejected(url, "no_document", f"its type is {response.headers.get('content-type', 'not stated')[:100]}")
    charset = CHARSET.search(response.headers.get("content-type", ""))
    known = {"url": response.url} if response.url != url else {}
    if response.headers.get("last-modified"):
        known["last_modified"] = response.headers["last-modified"]
    entry = maker.make(url, url, media_type, response.body, time, charset[1] if charset else None, known)
    return with_stated_licence(entry, response.headers.get("link", ""))


def with_stated_licence(entry: Entry, link_header: str) -> Entry:
    """The same document with the licence of a Link header, where there is one: it is the server's own word."""
    stated = LICENCE_LINK.search(link_header)
    if stated is None or not isinstance(entry, Found):
        return entry
    return replace(entry, licence=licence_of(stated[1]))


def _type(response: Response) -> str | None:
    """As stated; a server that states nothing, or just bytes, is judged by the address."""
    stated = response.headers.get("content-type", "")
    if stated.partition(";")[0].strip().lower() in ("", "application/octet-stream", "binary/octet-stream"):
        return media_type_of(urlsplit(response.url).path) or (None if stated else PLAIN)
    return readable_type(stated)


def _list_sitemap(response: Response, url: str, kind: str, visit: Visit) -> None:
    """A sitemap may list the pages of its own host only (sitemaps.org, "Sitemap file location"), and an index that an
    index lists is refused, as the protocol does: so the depth is bounded."""
    sitemap = read_sitemap(response.body)
    if kind == SITEMAP and sitemap.sitemaps:
        raise Unreachable("nested_index", "an index of sitemaps that another index lists")
    host = urlsplit(response.url).netloc
    for kind, places in ((PAGE, sitemap.pages), (SITEMAP, sitemap.sitemaps)):
        for place in places:
            try:
                address = canonical(place, base=response.url)
            except Unreachable as error:
                visit.entries.append(Rejected(place[:500], error.reason, error.detail))
                continue
            if urlsplit(address).netloc != host:
                detail = f"listed by {url}, which may list pages of {host} only"
                visit.entries.append(Rejected(address, "other_host", detail))
            else:
                visit.found.append((kind, address))
    visit.entries.append(LeftOut("sitemaps"))


def _links(response: Response) -> list[str]:
    """Addresses of the same host that the page links to, each once."""
    encoding = CHARSET.search(response.headers.get("content-type", ""))
    source, _ = decode_page(response.body, encoding[1] if encoding else None)
    found: dict[str, None] = {}
    for link in links(source):
        try:
            address = canonical(link, base=response.url)
        except Unreachable:
            continue  # mail addresses, scripts
        if urlsplit(address).netloc == urlsplit(response.url).netloc:
            found[address] = None
    return list(found)
