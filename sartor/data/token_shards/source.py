"""What is tokenized: a folder of documents, a file of rows, or texts as they lie in a folder."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from sartor.base.durable import file_sha256
from sartor.base.errors import DataError
from sartor.data import document_folder
from sartor.data.document_folder import DocumentFolder
from sartor.data.documents import TEXT
from sartor.data.extract import read_documents
from sartor.data.filters.segments import whole_id
from sartor.data.opening import ALL_EXTENSIONS, data_files
from sartor.data.readers import read_rows
from sartor.data.split import group_fraction

COLUMNS = pa.schema([pa.field("id", TEXT, nullable=False), pa.field("text", TEXT, nullable=False)])
REPAIR_HINT = "`sartor prepare` repairs texts; or correct the row"


class DocumentSource(Protocol):
    """Documents in a fixed order. `fingerprint` changes when they do; `num_bytes` is about how much text there is."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def num_bytes(self) -> int: ...

    def tables(self, max_bytes: int) -> Iterator[pa.Table]:
        """Tables of at most `max_bytes` of text (or one longer document) with at least the columns id and text, cut the
        same way each time."""
        ...


def open_source(path: Path) -> DocumentSource:
    """The documents at `path`: a folder that `sartor collect` or `sartor prepare` made; a file, or a folder of nothing
    but files, of rows that have a `text` and perhaps an `id`; or any file or folder that `extract` reads.

    DataError if it cannot be read.
    """
    if (path / document_folder.MANIFEST).is_file():
        return _Collected(DocumentFolder.open(path))
    if path.is_file() and path.name.lower().endswith(ALL_EXTENSIONS):
        return _Rows(path, (path,))
    if path.is_dir() and (files := data_files(path)) and not _has_texts(path):
        return _Rows(path, tuple(files))
    return _Files(path)


def ids_and_texts(table: pa.Table) -> tuple[list[str], list[str]]:
    """The two columns of a table of documents. DataError for a text that is not UTF-8."""
    names: list[str] = table["id"].to_pylist()
    try:
        return names, table["text"].to_pylist()
    except UnicodeDecodeError:
        damaged = next(name for name, text in zip(names, table["text"], strict=True) if not _is_text(text))
        raise DataError("is not UTF-8 text", where=f"document {damaged}", hint=REPAIR_HINT) from None


def is_held_out(document: str, share: float) -> bool:
    """Whether a document is never trained on: by a hash of its id; pieces of one document stay together."""
    return group_fraction(whole_id(document)) < share


@dataclass(frozen=True)
class _Collected:
    folder: DocumentFolder

    @property
    def fingerprint(self) -> str:
        return file_sha256(self.folder.path / document_folder.MANIFEST)

    @property
    def num_bytes(self) -> int:
        return self.folder.num_bytes

    def tables(self, max_bytes: int) -> Iterator[pa.Table]:
        return self.folder.tables(max_bytes)


@dataclass(frozen=True)
class _Rows:
    path: Path
    files: tuple[Path, ...]

    @property
    def fingerprint(self) -> str:
        return _hash_of(self.files)

    @property
    def num_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)

    def tables(self, max_bytes: int) -> Iterator[pa.Table]:
        rows = ((file, where, row) for file in self.files for where, row in read_rows(file))
        documents = ((_row_id(row, where, file), _row_text(row, where), where) for file, where, row in rows)
        return _tables(documents, max_bytes)


@dataclass(frozen=True)
class _Files:
    path: Path

    @property
    def fingerprint(self) -> str:
        return _hash_of(_files_below(self.path))

    @property
    def num_bytes(self) -> int:
        return sum(file.stat().st_size for file in _files_below(self.path))

    def tables(self, max_bytes: int) -> Iterator[pa.Table]:
        found = ((document.id, document.text, document.path) for document in read_documents(self.path))
        return _tables(found, max_bytes)


def _is_text(value: pa.Scalar) -> bool:
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _has_texts(folder: Path) -> bool:
    return any(
        path.is_dir() or not path.name.lower().endswith(ALL_EXTENSIONS)
        for path in folder.iterdir()
        if not path.name.startswith(".")
    )


def _files_below(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _hash_of(files: Iterable[Path]) -> str:
    return hashlib.sha256("".join(f"{file.name} {file_sha256(file)}\n" for file in files).encode()).hexdigest()


def _row_text(row: dict[str, object], where: str) -> str:
    text = row.get("text")
    if not isinstance(text, str):
        found = f"columns: {', '.join(row)}" if "text" not in row else f"it is {str(text)[:40]}"
        raise DataError(f"no text ({found})", where=f"{where}, text", hint='a document is {"id": "…", "text": "…"}')
    return text


def _row_id(row: dict[str, object], where: str, file: Path) -> str:
    """The row's own, or its place in its file: the same however the path to it is written."""
    given = row.get("id")
    return file.name + where.removeprefix(str(file)) if given is None or given == "" else str(given)


def _tables(documents: Iterable[tuple[str, str, str]], max_bytes: int) -> Iterator[pa.Table]:
    """Tables of `(id, text, where)`."""
    ids: list[str] = []
    texts: list[str] = []
    used = 0
    for name, text, where in documents:
        try:
            name.encode()
            size = len(text.encode())
        except UnicodeEncodeError:
            raise DataError("holds half of a surrogate pair, no text", where=where, hint=REPAIR_HINT) from None
        if texts and used + size > max_bytes:
            yield pa.Table.from_arrays([pa.array(ids, TEXT), pa.array(texts, TEXT)], schema=COLUMNS)
            ids, texts, used = [], [], 0
        ids.append(name)
        texts.append(text)
        used += size
    if texts:
        yield pa.Table.from_arrays([pa.array(ids, TEXT), pa.array(texts, TEXT)], schema=COLUMNS)
