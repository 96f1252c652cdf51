"""Web pages: the visible text, and what a page says about itself."""

from typing import Any

from sartor.data.parsers.decoding import decode_page, decode_text
from sartor.data.parsers.parsed import Parsed, tidy

PAGE_FURNITURE = ["nav", "footer", "[role=navigation]", "[role=contentinfo]"]
STATED_LICENCE = "link[rel~=license], a[rel~=license]"
LICENCE_META = "dcterms.license"


def parse_visible(data: bytes) -> Parsed:
    """All visible text but navigation and page footers; headings become Markdown headings.

    Not resiliparse's main-content heuristics: they drop short lists, which in a handbook are the content.
    """
    source, notices = decode_text(data)
    title, text = visible_text(source)
    return Parsed(title, tidy(text), notices=notices)


def visible_text(source: str) -> tuple[str, str]:
    """Title and text of a page's source."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(source)
    if tree.body is None:
        return "", ""
    for heading in tree.body.query_selector_all("h1, h2, h3, h4, h5, h6"):
        words = " ".join(str(heading.text).split())
        heading.text = f"{'#' * int(str(heading.tag)[1])} {words}" if words else ""
    first = tree.body.query_selector("h1")
    title = " ".join((tree.title or "").split()) or (str(first.text).removeprefix("# ") if first else "")
    text = extract_plain_text(tree, main_content=False, alt_texts=False, skip_elements=PAGE_FURNITURE)
    return title, str(text)


def parse_page(data: bytes, declared_encoding: str | None = None) -> Parsed:
    """The page's source itself, decoded as a browser would, with its title and the licence it links to."""
    source, _ = decode_page(data, declared_encoding)
    source = source.replace("\0", "").strip()
    title, licence = page_facts(source)
    return Parsed(title, source, licence)


def page_facts(source: str) -> tuple[str, str | None]:
    """Title, and the licence as stated: the address or name in a link or meta element."""
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(source)
    title = " ".join((tree.title or "").split())
    return title, _licence(tree) if tree.document is not None else None


def links(source: str) -> list[str]:
    """The addresses that a page links to, as they are written."""
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(source)
    if tree.body is None:
        return []
    return [str(link.getattr("href")) for link in tree.body.query_selector_all("a[href]")]


def _licence(tree: Any) -> str | None:
    link = tree.document.query_selector(STATED_LICENCE)
    if link is not None and link.getattr("href"):
        return str(link.getattr("href")).strip()
    for meta in tree.document.query_selector_all("meta[name][content]"):
        if meta.getattr("name").lower() == LICENCE_META and meta.getattr("content").strip():
            return str(meta.getattr("content")).strip()
    return None
