"""What a person gives to collect from: a file, a folder, a web address, a data set of the Hub."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from sartor.base.configuration import nearest
from sartor.base.errors import DataError, UsageError
from sartor.data.collecting.entry import Entry, LeftOut, Rejected, Unreachable
from sartor.data.collecting.files import READABLE, is_readable, unpacked_name
from sartor.data.collecting.hub import PREFIX, HubName, require_online
from sartor.data.collecting.web.urls import canonical
from sartor.data.folder_walk import HIDDEN, LINKED_FOLDER, walk

PATH, WEB, HUB = "path", "web", "hub"


@dataclass(frozen=True)
class Source:
    """`given` is what the person wrote; `place` is the same wherever the command is called from."""

    kind: str
    given: str
    place: str


@dataclass(frozen=True)
class SourceFile:
    """`name` begins with what was given, `key` is the absolute path."""

    path: Path
    name: str

    @property
    def key(self) -> str:
        return f"file:{os.path.abspath(self.path)}"


def detect(given: str) -> Source:
    """SartorError, before anything is read, for what nothing can be collected from."""
    if given.startswith(PREFIX):
        name = HubName.parse(given)
        require_online(name)
        return Source(HUB, given, f"{PREFIX}{name}")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", given):
        try:
            return Source(WEB, given, canonical(given))
        except Unreachable as error:
            raise UsageError(error.detail, where=given, hint="give an address like https://example.org/") from None
    path = Path(given)
    try:
        if not path.exists():
            raise DataError("there is no such file or folder", where=given, hint=_hint(path))
        if path.is_file() and not is_readable(path):
            kind = path.suffix or "(none)"
            raise DataError(f"cannot read files of type {kind}", where=given, hint=f"readable: {READABLE}")
        if not path.is_file() and not path.is_dir():
            raise DataError("is neither a file nor a folder", where=given, hint="write it to a file first")
        return Source(PATH, given, f"file:{os.path.abspath(path)}")
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot be opened: {reason}", where=given, hint="check the path and its rights") from None


def files_of(source: Source, leave_out: Path) -> Iterator[SourceFile | Entry]:
    """The files to read, and all else that is there: what is left out, and what is refused by name. The folder
    `leave_out`, into which is collected, is never read itself."""
    root = Path(source.given)
    if root.is_file():
        yield SourceFile(root, _name(root))
        return
    for path, problem in walk(root):
        if Path(os.path.abspath(path)).is_relative_to(leave_out):
            continue
        try:
            name = _name(path)
            name.encode()
        except UnicodeEncodeError:
            yield Rejected(repr(str(path)), "file_name", "the file name is not UTF-8")
            continue
        if problem == HIDDEN:
            yield LeftOut("hidden files")
        elif problem != LINKED_FOLDER and not is_readable(path):
            yield LeftOut(f"{PurePath(unpacked_name(path)).suffix or 'untyped'} files")
        elif problem:
            yield Rejected(name, "not_followed", problem)
        else:
            yield SourceFile(path, name)


def _name(path: Path) -> str:
    return path.as_posix()


def _hint(path: Path) -> str:
    beside = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
    near = nearest(path.name, beside)
    return f"did you mean {path.parent / near}?" if near else "check the path; web addresses begin with https://"
