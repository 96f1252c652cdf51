"""Answers without addresses that nobody gave the model: a hostile document must not send a reader, or what the model
read, anywhere.

An address stays when the passages or the conversation hold it, letter by letter. Pictures, which a page would fetch
unasked, become plain links; HTML tags that fetch or lead somewhere go.
"""

import re
from collections.abc import Iterable

from sartor.retrieval.inert import INVISIBLE

REMOVED = "‹link removed›"
"""In brackets that Markdown knows nothing of: what stands beside it must not become a link."""
ADDRESS = (
    r"[a-z][a-z0-9+.-]*://[^\s<>\"'`\[\]]*|(?:javascript|vbscript|data|blob|file|mailto|tel):[^\s<>\"'`\[\]]+"
    r"|www\.[^\s<>\"'`\[\]]+"
)
FETCHING = r"<[a-z][^<>]{0,500}\b(?:src|srcset|href|action|formaction|poster|background|data|style|ping)\s{0,5}=[^<>]*"
TARGET = r"\]\(\s*[^)\n]*\)?|\]:[ \t]*\S*//\S*"  # of a Markdown link, picture or definition
CONSTRUCT = re.compile(
    rf"(?P<tag>{FETCHING}>?)|(?P<target>{TARGET})|(?P<address>{ADDRESS})|(?P<picture>!+(?=\[))", re.IGNORECASE
)
ONE_ADDRESS = re.compile(ADDRESS, re.IGNORECASE)
BARE_SCHEME = re.compile(r"[a-z0-9+.-]*://", re.IGNORECASE)
UNFINISHED = re.compile(
    rf"(?:!+|\](?:\(\s*[^)\n]*|:[ \t]*\S*)?|<(?:[a-z][^<>]{{0,520}})?|{FETCHING}"
    r"|[a-z0-9+.-]+(?::[^\s<>\"'`\[\]]*)?|www\.[^\s<>\"'`\[\]]*)\Z",
    re.IGNORECASE,
)
"""What the end of a text may still become; it is held back until that is known."""


def addresses(text: str) -> set[str]:
    """All addresses in a text, as they are compared."""
    return {_plain(match[0]) for match in ONE_ADDRESS.finditer(text)}


class LinkFilter:
    """Text in pieces, `push`ed as it comes and `finish`ed, comes out without addresses that `sources` do not hold.

    However it is cut, the same text comes out. `removed` lists what was taken out.
    """

    def __init__(self, sources: Iterable[str]):
        self._allowed = {address for source in sources for address in addresses(source)}
        self._held = ""
        self.removed: list[str] = []

    def push(self, text: str) -> str:
        """What is safe to show by now."""
        self._held += INVISIBLE.sub("", text)
        match = UNFINISHED.search(self._held)
        end = match.start() if match else len(self._held)
        for construct in CONSTRUCT.finditer(self._held):
            if construct.start() < end and (construct.end() > end or construct.end() == len(self._held)):
                end = construct.start()  # it holds what is unfinished, or may go on
        return self._show(end)

    def finish(self) -> str:
        """The rest."""
        return self._show(len(self._held))

    def _show(self, end: int) -> str:
        text, self._held = self._held[:end], self._held[end:]
        return CONSTRUCT.sub(self._replaced, text)

    def _replaced(self, match: re.Match[str]) -> str:
        if match["picture"]:
            return self._drop("a picture's mark", "")
        if match["address"]:
            address = _plain(match[0])
            behind = match[0][len(address) :]
            if match.string[match.end() :].startswith("["):
                behind = behind.rstrip("!")
            kept = address in self._allowed or BARE_SCHEME.fullmatch(address)
            return (match[0][: len(address)] if kept else self._drop(address, REMOVED)) + behind
        if match["target"]:
            target = match[0][2:].strip().removesuffix(")")
            first = next(iter(target.split()), "").strip("<>")
            if not first or (_plain(first) in self._allowed and addresses(target) <= self._allowed):
                return match[0]
            return self._drop(first, f"] {REMOVED}")
        return self._drop(match[0], REMOVED)

    def _drop(self, what: str, instead: str) -> str:
        self.removed.append(what)
        return instead


def without_foreign_links(text: str, sources: Iterable[str]) -> tuple[str, list[str]]:
    """A whole answer through a LinkFilter, and what was taken out."""
    links = LinkFilter(sources)
    return links.push(text) + links.finish(), links.removed


def _plain(address: str) -> str:
    """Without what ends a sentence or a bracket around it; host and scheme in lower case."""
    address = address.rstrip(".,;:!?*_~|'\"’”)]}>")
    head = re.match(r"[^/]*//[^/?#]*|www\.[^/?#]*", address, re.IGNORECASE)
    return head[0].lower() + address[head.end() :] if head else address
