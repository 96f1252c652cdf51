"""EPUB books (EPUB 3.3): the chapters in reading order, as visible text with Markdown headings."""

import posixpath
from dataclasses import dataclass, field
from urllib.parse import unquote

from sartor.data.parsers.decoding import decode_page
from sartor.data.parsers.html import visible_text
from sartor.data.parsers.parsed import Parsed, Unreadable, tidy
from sartor.data.parsers.safe_xml import xml_events
from sartor.data.parsers.safe_zip import SafeZip

CONTAINER, RIGHTS = "META-INF/container.xml", "META-INF/encryption.xml"
CHAPTER_TYPES = {"application/xhtml+xml", "text/html"}
HINT = "the book is damaged; fetch it again"


@dataclass
class _Package:
    """What the package document says: metadata, files by id, the reading order."""

    facts: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


def parse_epub(data: bytes) -> Parsed:
    """Unreadable for what is no book, for one without chapters or with encrypted ones, and for hostile archives."""
    archive = SafeZip(data)
    if CONTAINER not in archive:
        raise Unreadable(f"not an EPUB book (it has no {CONTAINER})", HINT)
    place = _package_place(archive.read(CONTAINER))
    package = _read_package(archive.read(place))
    encrypted = _encrypted(archive.read(RIGHTS)) if RIGHTS in archive else set()
    chapters = []
    for name in _chapter_names(package, posixpath.dirname(place)):
        if name in encrypted:
            raise Unreadable(f"the chapter {name} is encrypted", "only books without copy protection can be read")
        page = archive.read(name)
        source, _ = decode_page(page, _declared(page[:200]))
        chapters.append(tidy(visible_text(source)[1]))
    if not chapters:
        raise Unreadable("the book has no chapters", HINT)
    text = "\n\n".join(chapter for chapter in chapters if chapter)
    return Parsed(package.facts.get("title", "").strip(), text, package.facts.get("rights", "").strip() or None)


def _package_place(xml: bytes) -> str:
    for kind, value, attributes in xml_events(xml):
        if kind == "start" and value == "rootfile" and attributes.get("full-path"):
            return attributes["full-path"]
    raise Unreadable("the book does not say where its contents are", HINT)


def _read_package(xml: bytes) -> _Package:
    package = _Package()
    inside = ""
    for kind, value, attributes in xml_events(xml, allow_doctype=True):
        if kind == "text":
            if inside in ("title", "rights"):
                package.facts[inside] = package.facts.get(inside, "") + value
            continue
        inside = value if kind == "start" and value not in package.facts else ""
        if kind == "start" and value == "item" and "id" in attributes:
            package.files[attributes["id"]] = attributes
        elif kind == "start" and value == "itemref" and attributes.get("linear", "yes") != "no":
            package.order.append(attributes.get("idref", ""))
    return package


def _chapter_names(package: _Package, folder: str) -> list[str]:
    """Each chapter once, though a hostile reading order may name one a million times."""
    names: dict[str, None] = {}
    for id in package.order:
        file = package.files.get(id, {})
        if file.get("media-type", "") in CHAPTER_TYPES and file.get("href"):
            path = unquote(file["href"].partition("#")[0])
            names[posixpath.normpath(posixpath.join(folder, path))] = None
    return list(names)


def _encrypted(xml: bytes) -> set[str]:
    return {
        unquote(attributes["URI"])
        for kind, value, attributes in xml_events(xml)
        if kind == "start" and value == "CipherReference" and "URI" in attributes
    }


def _declared(beginning: bytes) -> str | None:
    """The encoding that an XML declaration names."""
    _, found, rest = beginning.partition(b"encoding=")
    return rest[1:].partition(rest[:1])[0].decode("ascii", "replace") if found and rest else None
