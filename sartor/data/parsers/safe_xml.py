"""XML that may be hostile, as a stream of events: no document type, hence no entities; a bounded depth."""

from collections.abc import Iterator
from xml.parsers import expat

from sartor.data.parsers.parsed import Unreadable

DEEPEST = 200
PIECE_BYTES = 65_536
HINT = "the file is damaged or hostile; make it again"
Event = tuple[str, str, dict[str, str]]
"""("start", local name, attributes), ("end", local name, {}) or ("text", characters, {}). Namespaces are cut off; an
attribute of a namespace is there under `namespace name` as well, for an element may have two of one local name."""


class _Events:
    """Collects what expat reports between two pieces of input."""

    def __init__(self, allow_doctype: bool):
        self.found: list[Event] = []
        self.depth = 0
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._refuse_entities
        if not allow_doctype:
            self.parser.StartDoctypeDeclHandler = self._refuse_doctype

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable(f"nested more than {DEEPEST} deep", HINT)
        named = {key: value for key, value in attributes.items() if " " in key}
        plain = {key: value for key, value in attributes.items() if " " not in key}
        self.found.append(("start", _local(name), {_local(key): named[key] for key in named} | named | plain))

    def _end(self, name: str) -> None:
        self.depth -= 1
        self.found.append(("end", _local(name), {}))

    def _characters(self, text: str) -> None:
        self.found.append(("text", text, {}))

    def _refuse_doctype(self, *_: object) -> None:
        raise Unreadable("it declares a document type, which this kind of file never has", HINT)

    def _refuse_entities(self, *_: object) -> None:
        raise Unreadable("it declares entities, which may explode or read other files", HINT)


def xml_events(data: bytes, allow_doctype: bool = False) -> Iterator[Event]:
    """The events of a document. Unreadable when it is not well-formed, declares entities or is nested too deeply."""
    events = _Events(allow_doctype)
    try:
        for start in range(0, max(len(data), 1), PIECE_BYTES):
            events.parser.Parse(data[start : start + PIECE_BYTES], start + PIECE_BYTES >= len(data))
            yield from events.found
            events.found.clear()
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise Unreadable(f"not well-formed XML: {error}", HINT) from None


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
