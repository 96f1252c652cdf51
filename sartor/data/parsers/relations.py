"""How the parts of an Office Open XML archive refer to one another (ECMA-376 part 2, relationships)."""

import posixpath

from sartor.data.parsers.safe_xml import xml_events
from sartor.data.parsers.safe_zip import SafeZip

REFERENCE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships id"
"""The attribute by which a part names a relationship, as `xml_events` gives it."""


def relations_of(archive: SafeZip, part: str) -> dict[str, tuple[str, str]]:
    """By id: the last word of its type (`slide`, `notesSlide`, …) and the member it leads to. What leads out of the
    archive (web addresses) is left out."""
    folder, name = posixpath.split(part)
    member = posixpath.join(folder, "_rels", f"{name}.rels")
    if member not in archive:
        return {}
    found: dict[str, tuple[str, str]] = {}
    for kind, value, attributes in xml_events(archive.read(member)):
        if kind == "start" and value == "Relationship" and attributes.get("TargetMode") != "External":
            target = attributes.get("Target", "")
            path = target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
            found[attributes.get("Id", "")] = (attributes.get("Type", "").rpartition("/")[2], path)
    return found
