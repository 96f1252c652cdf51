"""Reading members of a zip archive that may be hostile: names that lead out of it, and contents that explode."""

import io
import zipfile
import zlib

from sartor.base.durable import format_bytes
from sartor.data.parsers.parsed import Unreadable

MOST_MEMBERS = 20_000
MOST_UNPACKED_BYTES = 200_000_000  # of all members that are read; a long illustrated book's text is below 20 MB
DAMAGED = "the file is damaged, or not what its name says: save it again"


class SafeZip:
    """An archive in memory. Unreadable when it is damaged, when a member's name leads out of the archive or occurs
    twice, when it has too many members, or when what is read of it unpacks to more than `most_bytes`."""

    def __init__(self, data: bytes, most_bytes: int = MOST_UNPACKED_BYTES):
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError) as error:
            raise Unreadable(f"not a readable archive: {error}", DAMAGED) from None
        members = self._archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise Unreadable(f"the archive has {len(members)} members, at most {MOST_MEMBERS} are read", DAMAGED)
        for member in members:
            _refuse_bad_name(member.filename)
        self._members = {member.filename: member for member in members}
        if len(self._members) < len(members):
            raise Unreadable("two members of the archive have one name", DAMAGED)
        self._left = most_bytes

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self) -> list[str]:
        return list(self._members)

    def read(self, name: str) -> bytes:
        """A member's bytes. What the archive says about sizes is not believed: unpacking stops at the limit."""
        member = self._members.get(name)
        if member is None:
            raise Unreadable(f"{name} is missing in the archive", DAMAGED)
        if member.flag_bits & 0x1:
            raise Unreadable(f"{name} is encrypted", "remove the password")
        try:
            with self._archive.open(member) as stream:
                data = stream.read(self._left + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
            raise Unreadable(f"{name} in the archive cannot be read: {error}", DAMAGED) from None
        self._left -= len(data)
        if self._left < 0:
            limit = format_bytes(MOST_UNPACKED_BYTES)
            raise Unreadable(f"unpacks to more than {limit}", "this may be a zip bomb; read its parts by hand")
        return data


def _refuse_bad_name(name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise Unreadable(f"the archive holds the name {name!r}, which leads out of it", "do not unpack this file")
