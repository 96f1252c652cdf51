"""A folder of documents: Parquet files of rows as `documents.py` has them, and a manifest that is written last.

DIR/documents/00000.parquet   zstd; row groups of at most 8 MB of text, so that reading takes little memory
DIR/documents.json            the files in order, each with rows, bytes of text, size and SHA-256
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from sartor.base.durable import file_sha256, replace_json
from sartor.base.errors import DataError, UsageError
from sartor.data.document_file import (
    FILE_BYTES,
    TABLE_BYTES,
    DocumentFile,
    DocumentFileWriter,
    checked,
    read_document_file,
    rows_that_fit,
)  # fmt: skip

MANIFEST = "documents.json"
SUBFOLDER = "documents"
FORMAT = "sartor documents 1"


@dataclass(frozen=True)
class DocumentFolder:
    """A complete folder of documents, as its manifest says."""

    path: Path
    files: tuple[DocumentFile, ...]

    @classmethod
    def open(cls, path: Path | str, check_files: bool = True) -> "DocumentFolder":
        """DataError when there is no manifest, or (unless told not to look) a file is missing or not as long as it was
        written."""
        folder = cls(Path(path), _read_manifest(Path(path)))
        for file in folder.files if check_files else ():
            where = folder.path / file.name
            if not where.is_file():
                raise damaged(where, "is missing")
            if (size := where.stat().st_size) != file.file_bytes:
                raise damaged(where, f"has {size} bytes instead of {file.file_bytes}")
        return folder

    @property
    def num_documents(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def num_bytes(self) -> int:
        """Of the texts, in UTF-8."""
        return sum(file.text_bytes for file in self.files)

    def tables(self, max_bytes: int = TABLE_BYTES) -> Iterator[pa.Table]:
        """All documents in order, in tables of at most `max_bytes` of text, or of one document that is longer.

        DataError, naming the file, when one is not as it was written.
        """
        for file in self.files:
            yield from self.tables_of(file, max_bytes)

    def tables_of(self, file: DocumentFile, max_bytes: int = TABLE_BYTES) -> Iterator[pa.Table]:
        """The documents of one file, as `tables`. Its SHA-256 is compared before the first is given out."""
        where = self.path / file.name
        try:
            if file_sha256(where) != file.sha256:
                raise damaged(where, "was changed (SHA-256 differs)")
        except OSError as error:
            raise damaged(where, f"cannot be read ({error.strerror or error})") from error
        yield from read_document_file(where, max_bytes)


class DocumentWriter:
    """Makes a folder of documents: `add` tables, then `close`, which publishes the manifest.

    Until then the folder does not open; files that an earlier, unfinished writer left are removed first. UsageError
    when the folder is complete already. The bytes of the files depend on the documents and their order only, not on
    the tables in which they were added. As a context manager it closes, unless there was an exception.
    """

    def __init__(self, path: Path | str, max_file_bytes: int = FILE_BYTES):
        self.path, self.max_file_bytes = Path(path), max_file_bytes
        if (self.path / MANIFEST).exists():
            hint = "choose another folder, or remove this one"
            raise UsageError("there are documents already", where=str(self.path), hint=hint)
        folder = self.path / SUBFOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.parquet*"):
            leftover.unlink()
        self._files: list[DocumentFile] = []
        self._writer: DocumentFileWriter | None = None

    def add(self, table: pa.Table) -> None:
        """Append documents. DataError when they do not have the columns of `documents.SCHEMA`."""
        table = checked(table, self.path)
        while table.num_rows:
            used = self._writer.text_bytes if self._writer else None
            rows = rows_that_fit(table, used, self.max_file_bytes, table.num_rows)
            if rows == 0:
                self._finish_file()
                continue
            if self._writer is None:
                name = f"{SUBFOLDER}/{len(self._files):05d}.parquet"
                self._writer = DocumentFileWriter(self.path, name)
            self._writer.add(table.slice(0, rows))
            table = table.slice(rows)

    def close(self) -> DocumentFolder:
        """Publish; a folder without documents is complete too."""
        self._finish_file()
        return publish_documents(self.path, self._files)

    def _finish_file(self) -> None:
        if self._writer is not None:
            self._files.append(self._writer.finish())
            self._writer = None

    def __enter__(self) -> "DocumentWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._writer is not None:
            self._writer.abandon()


def publish_documents(path: Path, files: Iterable[DocumentFile]) -> DocumentFolder:
    """Write the manifest of files that are there: with it the folder is complete."""
    folder = DocumentFolder(path, tuple(files))
    path.mkdir(parents=True, exist_ok=True)
    replace_json(path / MANIFEST, {"format": FORMAT, "files": [asdict(file) for file in folder.files]})
    return folder


def damaged(where: Path, what: str) -> DataError:
    return DataError(what, where=str(where), hint="make the folder of documents again, or restore this file")


def _read_manifest(path: Path) -> tuple[DocumentFile, ...]:
    where = path / MANIFEST
    try:
        manifest = json.loads(where.read_text())
        if manifest["format"] != FORMAT:
            raise DataError(f"is of another format: {manifest['format']}", where=str(where), hint=f"expected {FORMAT}")
        return tuple(DocumentFile(**entry) for entry in manifest["files"])
    except (FileNotFoundError, NotADirectoryError):
        what = "is not a complete folder of documents" if path.is_dir() else "there is no such folder"
        hint = "`sartor collect` makes one; where it was interrupted, run it again"
        raise DataError(what, where=str(path), hint=hint) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(where, f"cannot be read ({error})") from None
