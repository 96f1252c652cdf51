"""A file of this machine to its documents, by the end of its name."""

from pathlib import Path

from sartor.base.errors import DataError
from sartor.data.collecting.documents_of import DocumentMaker
from sartor.data.collecting.entry import Entries, utc_time
from sartor.data.collecting.rows import read_row_documents
from sartor.data.collecting.warc import read_warc
from sartor.data.opening import COMPRESSIONS, EXTENSIONS, opened
from sartor.data.parsers import formats
from sartor.data.parsers.formats import media_type_of

WEB_ARCHIVES = (".warc", ".wet")
READABLE = f"{formats.READABLE}, WARC, WET; also .gz and .zst"


def unpacked_name(path: Path) -> str:
    """The file's name in lower case, without .gz or .zst."""
    name = path.name.lower()
    return name.rpartition(".")[0] if name.endswith(COMPRESSIONS) else name


def is_readable(path: Path) -> bool:
    """Whether the file's name says that documents can be read from it."""
    name = unpacked_name(path)
    return name.endswith((*EXTENSIONS, *WEB_ARCHIVES)) or media_type_of(name) is not None


def read_file(path: Path, name: str, maker: DocumentMaker) -> Entries:
    """The documents of a file; `name` is how it was given. DataError where it cannot be read (on)."""
    plain = unpacked_name(path)
    if plain.endswith(WEB_ARCHIVES):
        yield from read_warc(path, name, maker)
    elif plain.endswith(EXTENSIONS):
        yield from read_row_documents(path, name, maker.limits)
    else:
        media_type = media_type_of(plain)
        if media_type is None:
            raise DataError(f"cannot read files of type {path.suffix or '(none)'}", where=str(path), hint=READABLE)
        with opened(path) as stream:
            data = stream.read(maker.limits.document_bytes + 1)
        time = utc_time(path.stat().st_mtime)
        if len(data) > maker.limits.document_bytes:
            yield maker.too_large(name)
        else:
            yield maker.make(name, name, media_type, data, time)
