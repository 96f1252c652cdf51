"""Finding and opening data files: the path is checked, .gz and .zst are unpacked while reading."""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from sartor.base.configuration import nearest
from sartor.base.errors import DataError
from sartor.data.bad_rows import BadRow
from sartor.data.expansion import BoundedExpansion

EXTENSIONS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
COMPRESSIONS = (".gz", ".zst")
ALL_EXTENSIONS = tuple(name + packed for name in EXTENSIONS for packed in ("", *COMPRESSIONS))
READABLE = f"rows are read from {', '.join(EXTENSIONS)}, each also with .gz or .zst"

BUFFER_BYTES = 128 * 1024
LONGEST_LINE_BYTES = 256 * 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def check_data_file(path: Path) -> str:
    """The extension of a data file, without its compression. DataError if it cannot be read."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError("there is no such file", where=str(path), hint=_missing_hint(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "check the path and its rights"
        raise DataError(f"cannot be opened: {reason}", where=str(path), hint=hint) from None
    if stat.S_ISDIR(found.st_mode):
        names = [child.name for child in data_files(path)]
        hint = f"give one of its files: {', '.join(names[:5])}" if names else f"give a file; {READABLE}"
        raise DataError("is a folder, not a file", where=str(path), hint=hint)
    if not stat.S_ISREG(found.st_mode):
        raise DataError("is not a regular file", where=str(path), hint="write the rows to a file first")
    name = path.name.lower()
    for extension in EXTENSIONS:
        if name.endswith((extension, *(extension + packed for packed in COMPRESSIONS))):
            break
    else:
        raise DataError("is of an unknown kind", where=str(path), hint=READABLE)
    if found.st_size == 0:
        raise DataError("is empty", where=str(path), hint="was it written to the end?")
    return extension


def data_files(folder: Path) -> list[Path]:
    """The files of `folder` that rows can be read from, by name."""
    return sorted(child for child in folder.iterdir() if child.name.lower().endswith(ALL_EXTENSIONS))


def find_data_file(folder: Path, name: str) -> Path | None:
    """`folder/name` with any readable extension; None if there is none, DataError for more than one."""
    found = [path for path in data_files(folder) if path.name in {name + end for end in ALL_EXTENSIONS}]
    if len(found) > 1:
        both = " and ".join(path.name for path in found)
        raise DataError(f"both {both} are here", where=str(folder), hint=f"keep one file for {name}")
    return found[0] if found else None


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of `path`, unpacked. DataError for damaged or truncated compression and for read errors."""
    try:
        with open(path, "rb") as file, _unpacked(file, path) as stream:
            yield stream
    except (EOFError, zlib.error, OSError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        hint = "the file is damaged or not complete: fetch or pack it again"
        raise DataError(f"cannot be read: {reason}", where=str(path), hint=hint) from None


def numbered_lines(stream: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines from 1 with their ends, without a byte order mark. DataError for a line longer than is read."""
    number = 0
    while line := stream.readline(LONGEST_LINE_BYTES + 1):
        number += 1
        if len(line) > LONGEST_LINE_BYTES:
            hint = f"the longest line that is read has {LONGEST_LINE_BYTES // 2**20} MiB: split the row"
            raise DataError("the line is too long", where=f"{path}:{number}", hint=hint)
        yield number, line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line


def decode(line: bytes, place: str) -> str:
    """`line` as text; BadRow at `place` if it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(line, place, error.start) from None


def not_utf8(content: bytes, place: str, column: int | None = None) -> BadRow:
    """The error for `content`, with the byte at `column` (from 0) where it is known."""
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    at = "" if column is None or wide else f" (byte 0x{content[column]:02x} at column {column + 1})"
    hint = "the file is UTF-16: save it as UTF-8" if wide else "save the file as UTF-8"
    return BadRow(f"is not UTF-8 text{at}", place=place, hint=hint)


def first_line(error: Exception) -> str:
    """What a library says in its first line (Arrow's messages go on with its internals)."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def arrow() -> Any:
    """The pyarrow module with its Parquet part: heavy, and needed for .parquet and .zst only."""
    import pyarrow
    import pyarrow.parquet

    return pyarrow


def _unpacked(file: BinaryIO, path: Path) -> BinaryIO:
    name = path.name.lower()
    if name.endswith(".gz"):
        unpacked = cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb"))
    elif name.endswith(".zst"):
        unpacked = cast(BinaryIO, arrow().CompressedInputStream(file, "zstd"))
    else:
        return file
    return io.BufferedReader(BoundedExpansion(unpacked, file, str(path)), BUFFER_BYTES)


def _missing_hint(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist either"
    names = [child.name for child in folder.iterdir()]
    near = nearest(path.name, names)
    if near:
        return f"did you mean {folder / near}?"
    readable = [child.name for child in data_files(folder)]
    return f"{folder} holds {', '.join(readable[:5])}" if readable else f"{folder} holds no data files"
