"""Rules for the addresses of documents: lists of sites and words that the user gives as files.

The manner is RefinedWeb's and FineWeb's (2306.01116, appendix G.1): blocked sites and pages, words of which one is
enough, words of which it takes two, and parts of words. No list comes with the project.
"""

import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa

from sartor.base.configuration import Config
from sartor.base.errors import DataError
from sartor.data.documents import TEXT
from sartor.data.filters.step import Outcome

_PARTS = re.compile("[^a-z0-9]+")
_SHORTEST_PART = 3  # letters: what a part of a word is found by


class UrlRules(Config):
    """Drop documents by their address.

    Files have one entry a line; empty lines and those that begin with # are skipped. A site in `blocklist`
    (`example.com`, `https://example.com`) stands for its subdomains too; an entry with a path
    (`https://example.com/page`) for that page only. Capitals count in paths alone.
    Words are what stands between characters other than letters and digits, in small letters. A document that has no
    http address as its source or id is kept and counted.
    """

    blocklist: Path | None = None
    hard_words: Path | None = None
    soft_words: Path | None = None
    parts_of_words: Path | None = (
        None  # of at least three letters; found anywhere in the address, without its punctuation
    )
    min_soft_words: int = 2

    @property
    def name(self) -> str:
        return "url_rules"

    def __call__(self, documents: pa.Table) -> Outcome:
        addresses = [
            address(source) or address(name)
            for source, name in zip(documents["source"].to_pylist(), documents["id"].to_pylist(), strict=True)
        ]
        reasons = [None if url is None else self.reason(url) for url in addresses]
        without = sum(url is None for url in addresses)
        return Outcome(documents, pa.array(reasons, TEXT), {"documents without a URL": without} if without else {})

    def reason(self, url: str) -> str | None:
        """The first rule that the address fails."""
        blocked = _entries(self.blocklist)
        if blocked and _page(url) in blocked:
            return "url_blocked_page"
        if blocked and any(site in blocked for site in _sites(url)):
            return "url_blocked_site"
        words = set(_PARTS.split(url.lower()))
        if not words.isdisjoint(_entries(self.hard_words)):
            return "url_hard_word"
        if self.soft_words is not None and len(words & _entries(self.soft_words)) >= self.min_soft_words:
            return "url_soft_words"
        if self.parts_of_words is not None and _holds_part(_PARTS.sub("", url.lower()), self.parts_of_words):
            return "url_part_of_word"
        return None


def address(name: str | None) -> str | None:
    """The name, if it is an http address."""
    return name if name is not None and name[:8].lower().startswith(("http://", "https://")) else None


def _page(url: str) -> str:
    """The address with scheme and host in small letters."""
    scheme, mark, rest = url.partition("://")
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    return f"{scheme.lower()}{mark}{host.lower()}{rest[len(host) :]}"


def _sites(url: str) -> list[str]:
    """`https://a.b.example.com/page` -> a.b.example.com, b.example.com, example.com, com; none if it has no host."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:  # such as a bracket that is not closed
        return []
    labels = host.split(".") if host else []
    return [".".join(labels[start:]) for start in range(len(labels))]


def _entries(path: Path | None) -> frozenset[str]:
    return frozenset() if path is None else _read(path)


@lru_cache(maxsize=16)
def _read(path: Path) -> frozenset[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # with a byte order mark or without
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise DataError(
            f"cannot be read: {reason}", where=str(path), hint="give a text file, one entry a line"
        ) from None
    entries = (line.strip() for line in lines)
    return frozenset(_entry(entry) for entry in entries if entry and entry[0] != "#")


def _entry(entry: str) -> str:
    """A page as `_page` writes it; a site, a word or a part of one in small letters."""
    if "://" not in entry:
        return entry.lower()
    page = _page(entry)
    beyond_scheme = page.partition("://")[2]
    return page if re.search("[/?#]", beyond_scheme) else (_sites(page) or [beyond_scheme])[0]


@lru_cache(maxsize=4)
def _parts_by_beginning(path: Path) -> dict[str, tuple[str, ...]]:
    """The entries by their first letters."""
    found: dict[str, list[str]] = {}
    for entry in sorted(_read(path)):
        if len(entry) < _SHORTEST_PART:
            raise DataError(
                f"'{entry}' is too short for a part of a word", where=str(path), hint="use three letters or more"
            )
        found.setdefault(entry[:_SHORTEST_PART], []).append(entry)
    return {beginning: tuple(entries) for beginning, entries in found.items()}


def _holds_part(letters: str, path: Path) -> bool:
    parts = _parts_by_beginning(path)
    return any(
        letters.startswith(parts.get(letters[place : place + _SHORTEST_PART], ()), place)
        for place in range(len(letters) - _SHORTEST_PART + 1)
    )
