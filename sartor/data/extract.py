"""Files to plain-text documents, of every type in `parsers/formats.py` and rows of tables, in a fixed order, nothing
left out unnamed.

A file that cannot be read as what it claims to be is a DataError; what is no document (pictures, hidden
files, links that lead outside the folder, empty files) is left out and named through `notice`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sartor.base.configuration import nearest
from sartor.base.console import warn
from sartor.base.durable import format_bytes
from sartor.base.errors import DataError
from sartor.data.folder_walk import HIDDEN, LINKED_FOLDER, walk
from sartor.data.parsers.formats import CODE, COMPLEX, HTML, READABLE, kind_of, media_type_of, parse
from sartor.data.parsers.html import parse_visible
from sartor.data.parsers.isolated import IsolatedParser
from sartor.data.parsers.parsed import Parsed, Scalar, Unreadable, tidy
from sartor.data.row_documents import RowDocuments, holds_documents, is_table

MAX_DOCUMENT_BYTES = 50_000_000
Notice = Callable[[str], None]
__all__ = ["Document", "Scalar", "make_document", "read_documents"]


@dataclass(frozen=True)
class Document:
    """One text that can be cited.

    `id` is the path relative to the folder, with `/`; for a row of a JSONL file its own id, else `FILE:LINE`.
    `path` is the file. `text` is never empty, has `\\n` line ends and Markdown headings where the source had
    headings. `metadata` is what searches may filter by: always `type` (markdown, pdf, code, …) and `folder` (relative,
    with `/`, "" for the top), then what the file itself says (front matter, further fields of a row). `sha256` is over
    title, text and metadata: it changes exactly when what would be indexed changes.
    """

    id: str
    title: str
    text: str
    path: str
    sha256: str
    metadata: dict[str, Scalar] = field(default_factory=dict)


def make_document(
    id: str, title: str, text: str, path: str = "", metadata: Mapping[str, Scalar] | None = None
) -> Document:
    """A Document with its hash."""
    facts = dict(metadata or {})
    stated = "\0" + json.dumps(facts, sort_keys=True, ensure_ascii=False) if facts else ""
    return Document(id, title, text, path, hashlib.sha256(f"{title}\0{text}{stated}".encode()).hexdigest(), facts)


def read_documents(
    source: Path,
    *,
    max_bytes: int = MAX_DOCUMENT_BYTES,
    notice: Notice = warn,
    on_bad_file: Callable[[Path, DataError], None] | None = None,
) -> Iterator[Document]:
    """The documents of one file or of a folder and its subfolders, sorted by path.

    `max_bytes` bounds one document (a file, or a row of a JSONL file). DataError for a file that cannot be
    read, is too large, or repeats an id, and when there is no document at all. `on_bad_file` is told of such a file
    instead, and the others are read.
    """
    if not source.exists():
        beside = [child.name for child in source.parent.iterdir()] if source.parent.is_dir() else []
        near = nearest(source.name, beside)
        hint = f"did you mean {source.parent / near}?" if near else "check the path"
        raise DataError("there is no such file or folder", where=str(source), hint=hint)
    seen: dict[str, str] = {}
    with IsolatedParser() as parser:
        for path in _files(source, notice):
            name = path.name if path == source else path.relative_to(source).as_posix()
            try:
                for document, where in _FileReader(path, name, max_bytes, notice, parser).documents():
                    if not document.text:
                        notice(f"{where}: empty, left out")
                        continue
                    if document.id in seen:
                        raise DataError(
                            f"the document id {document.id!r} is used twice",
                            where=where,
                            hint=f"first used in {seen[document.id]}; ids name what is cited, make them unique",
                        )
                    seen[document.id] = where
                    yield document
            except DataError as error:
                if on_bad_file is None:
                    raise
                on_bad_file(path, error)
    if not seen:
        raise DataError("no documents here", where=str(source), hint=f"readable files: {READABLE}")


def _files(source: Path, notice: Notice) -> list[Path]:
    """The files to read, sorted; everything else is named."""
    if source.is_file():
        if not _is_readable(source):
            kind = source.suffix or "(none)"
            raise DataError(f"cannot read files of type {kind}", where=str(source), hint=f"readable files: {READABLE}")
        return [source]
    files: list[Path] = []
    left_out: Counter[str] = Counter()
    for path, problem in walk(source):
        if problem == HIDDEN:
            left_out["hidden"] += 1
        elif problem != LINKED_FOLDER and not _is_readable(path):
            left_out[path.suffix.lower() or "no file type"] += 1
        elif problem:
            notice(f"{path}: {problem}")
        else:
            files.append(path)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()) if count)
    if counts:
        notice(f"{source}: left out files that are not read: {counts}")
    return files


def _is_readable(path: Path) -> bool:
    return is_table(path) or media_type_of(path.name) is not None


@dataclass(frozen=True)
class _FileReader:
    """One file's documents, each with the place it came from."""

    path: Path
    name: str
    max_bytes: int
    notice: Notice
    parser: IsolatedParser

    def documents(self) -> Iterator[tuple[Document, str]]:
        try:
            self.name.encode()
        except UnicodeEncodeError:
            raise DataError("the file name is not UTF-8", where=repr(self.name), hint="rename the file") from None
        try:
            media_type = media_type_of(self.path.name)
            if is_table(self.path) and holds_documents(self.path):
                yield from self._rows()
            elif media_type is not None:
                yield self._whole(media_type), str(self.path)
            else:
                self.notice(f"{self.path}: its rows have no field text, left out")
        except Unreadable as error:
            raise DataError(error.what, where=str(self.path), hint=error.hint) from error
        except OSError as error:
            hint = "check the file's rights, or move it elsewhere"
            raise DataError(f"cannot read the file: {error.strerror}", where=str(self.path), hint=hint) from error

    def _rows(self) -> Iterator[tuple[Document, str]]:
        rows = RowDocuments(self.path, self.name, self.max_bytes)
        known = self._facts(self.path.suffix.lower().removeprefix("."), "")
        for id, title, text, facts, where in rows.read():
            yield make_document(id, title, text, str(self.path), known | facts), where
        if rows.left_out:
            named = ", ".join(f"{field} ({count} rows)" for field, count in sorted(rows.left_out.items()))
            self.notice(f"{self.path}: fields that hold no single value cannot be searched by: {named}")

    def _whole(self, media_type: str) -> Document:
        size = self.path.stat().st_size
        if size > self.max_bytes:
            sizes = f"{format_bytes(size)}, at most {format_bytes(self.max_bytes)}"
            hint = "split it into several files"
            raise DataError(f"too large for one document: {sizes}", where=str(self.path), hint=hint)
        parsed = self._parsed(media_type, self.path.read_bytes())
        for text in parsed.notices:
            self.notice(f"{self.path}: {text}")
        kind, language = kind_of(media_type)
        title = parsed.title or (self.path.name if kind == CODE else self.path.stem.replace("_", " "))
        return make_document(
            self.name, title, tidy(parsed.text), str(self.path), self._facts(kind, language) | parsed.metadata
        )

    def _parsed(self, media_type: str, data: bytes) -> Parsed:
        """Formats that may explode or hang are parsed in a process of their own; of web pages the visible text."""
        if media_type in COMPLEX:
            return self.parser.parse(media_type, data, self.max_bytes)
        return parse_visible(data) if media_type == HTML else parse(media_type, data)

    def _facts(self, kind: str, language: str) -> dict[str, Scalar]:
        facts: dict[str, Scalar] = {"type": kind, "folder": self.name.rpartition("/")[0]}
        if language:
            facts["language"] = language
        return facts
