"""Files to plain-text documents: text, Markdown, HTML, PDF, Word, EPUB and JSONL, in a fixed order, nothing left out
unnamed.

A file that cannot be read as what it claims to be is a DataError; what is no document (pictures, hidden
files, links that lead outside the folder, empty files) is left out and named through `notice`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sartor.base.configuration import nearest
from sartor.base.console import warn
from sartor.base.durable import format_bytes
from sartor.base.errors import DataError
from sartor.data.folder_walk import HIDDEN, LINKED_FOLDER, walk
from sartor.data.parsers.docx import parse_docx
from sartor.data.parsers.epub import parse_epub
from sartor.data.parsers.html import parse_visible
from sartor.data.parsers.markdown import parse_markdown
from sartor.data.parsers.parsed import Parsed, Unreadable, tidy
from sartor.data.parsers.pdf import parse_pdf
from sartor.data.parsers.plain import parse_plain

MAX_DOCUMENT_BYTES = 50_000_000
Notice = Callable[[str], None]


@dataclass(frozen=True)
class Document:
    """One text that can be cited.

    `id` is the path relative to the folder, with `/`; for a row of a JSONL file its own id, else `FILE:LINE`.
    `path` is the file. `text` is never empty, has `\\n` line ends and Markdown headings where the source had
    headings. `sha256` is over title and text: it changes exactly when what would be indexed changes.
    """

    id: str
    title: str
    text: str
    path: str
    sha256: str


def make_document(id: str, title: str, text: str, path: str = "") -> Document:
    """A Document with its hash."""
    return Document(id, title, text, path, hashlib.sha256(f"{title}\0{text}".encode()).hexdigest())


def read_documents(source: Path, *, max_bytes: int = MAX_DOCUMENT_BYTES, notice: Notice = warn) -> Iterator[Document]:
    """The documents of one file or of a folder and its subfolders, sorted by path.

    `max_bytes` bounds one document (a file, or a row of a JSONL file). DataError for a file that cannot be
    read, is too large, or repeats an id, and when there is no document at all.
    """
    if not source.exists():
        beside = [child.name for child in source.parent.iterdir()] if source.parent.is_dir() else []
        near = nearest(source.name, beside)
        hint = f"did you mean {source.parent / near}?" if near else "check the path"
        raise DataError("there is no such file or folder", where=str(source), hint=hint)
    seen: dict[str, str] = {}
    for path in _files(source, notice):
        name = path.name if path == source else path.relative_to(source).as_posix()
        for document, where in _documents_of(path, name, max_bytes, notice):
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
    if not seen:
        raise DataError("no documents here", where=str(source), hint=f"readable files: {', '.join(READABLE)}")


def _files(source: Path, notice: Notice) -> list[Path]:
    """The files to read, sorted; everything else is named."""
    if source.is_file():
        if source.suffix.lower() not in READABLE:
            raise DataError(
                f"cannot read files of type {source.suffix or '(none)'}",
                where=str(source),
                hint=f"readable files: {', '.join(READABLE)}",
            )
        return [source]
    files: list[Path] = []
    left_out: Counter[str] = Counter()
    for path, problem in walk(source):
        if problem == HIDDEN:
            left_out["hidden"] += 1
        elif problem != LINKED_FOLDER and path.suffix.lower() not in READABLE:
            left_out[path.suffix.lower() or "no file type"] += 1
        elif problem:
            notice(f"{path}: {problem}")
        else:
            files.append(path)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()) if count)
    if counts:
        notice(f"{source}: left out files that are not read: {counts}")
    return files


def _documents_of(path: Path, name: str, max_bytes: int, notice: Notice) -> Iterator[tuple[Document, str]]:
    """The documents of one file, each with the place it came from."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError("the file name is not UTF-8", where=repr(name), hint="rename the file") from None
    try:
        if path.suffix.lower() == ROWS:
            yield from _rows(path, name, max_bytes)
            return
        size = path.stat().st_size
        if size > max_bytes:
            sizes = f"{format_bytes(size)}, at most {format_bytes(max_bytes)}"
            raise DataError(f"too large for one document: {sizes}", where=str(path), hint="split it into several files")
        parsed = READERS[path.suffix.lower()](path.read_bytes())
    except Unreadable as error:
        raise DataError(error.what, where=str(path), hint=error.hint) from error
    except OSError as error:
        hint = "check the file's rights, or move it elsewhere"
        raise DataError(f"cannot read the file: {error.strerror}", where=str(path), hint=hint) from error
    for text in parsed.notices:
        notice(f"{path}: {text}")
    yield make_document(name, parsed.title or path.stem.replace("_", " "), tidy(parsed.text), str(path)), str(path)


def _rows(path: Path, name: str, max_bytes: int) -> Iterator[tuple[Document, str]]:
    """A document for every row of a JSONL file with `text` and, if it likes, `id` and `title`."""
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(max_bytes + 1):
            number += 1
            where = f"{path}:{number}"
            if len(line) > max_bytes:
                raise DataError(
                    f"too large for one document: over {format_bytes(max_bytes)}",
                    where=where,
                    hint="one JSON object a line; split long texts into several rows",
                )
            if line.strip():
                row = _parse_row(line, where)
                id = row["id"] or f"{name}:{number}"
                yield make_document(id, row["title"], tidy(row["text"]), str(path)), where


def _parse_row(line: bytes, where: str) -> dict[str, str]:
    """`id` and `title` ("" where absent) and `text`."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
        json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        hint = 'write one document a line: {"id": …, "text": …}'
        raise DataError(f"not a JSON object in UTF-8: {error}", where=where, hint=hint) from None
    if not isinstance(row, dict):
        raise DataError("a row must be a JSON object", where=where, hint='like {"id": "a", "text": "…"}')
    if "text" not in row:
        raise DataError(
            f"no field text (fields: {', '.join(row) or 'none'})",
            where=f"{where}, text",
            hint="rename the field that holds the document's text",
        )
    id, title, text = row.get("id"), row.get("title"), row["text"]
    fields = {"id": str(id) if type(id) is int else id or "", "title": title or "", "text": text}
    for field, value in fields.items():
        if not isinstance(value, str):
            raise DataError(
                f"{field} must be a text, not {json.dumps(value)[:40]}",
                where=f"{where}, {field}",
                hint="put it in quotes",
            )
    return fields


READERS: dict[str, Callable[[bytes], Parsed]] = {
    ".txt": parse_plain,
    ".md": parse_markdown,
    ".html": parse_visible,
    ".htm": parse_visible,
    ".pdf": parse_pdf,
    ".docx": parse_docx,
    ".epub": parse_epub,
}
"""Types of files that are one document, each with its parser."""

ROWS = ".jsonl"
READABLE = (*READERS, ROWS)
