"""Files to plain-text documents: text, Markdown, HTML, PDF and JSONL, in a fixed order, nothing left out
unnamed.

A file that cannot be read as what it claims to be is a DataError; what is no document (pictures, hidden
files, links that lead outside the folder, empty files) is left out and named through `notice`.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sartor.base.configuration import nearest
from sartor.base.console import warn
from sartor.base.durable import format_bytes
from sartor.base.errors import DataError

MAX_DOCUMENT_BYTES = 50_000_000
Notice = Callable[[str], None]

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
FRONT_MATTER_TITLE = re.compile(r"""^title:[ \t]*(["']?)(.+?)\1[ \t]*$""", re.MULTILINE)
FIRST_HEADING = re.compile(r"^# +(.+?)[ #]*$", re.MULTILINE)
BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
PAGE_FURNITURE = ["nav", "footer", "[role=navigation]", "[role=contentinfo]"]
BROKEN_WORD = "\x02"  # PDFium writes it for a hyphen at the end of a line


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


def read_documents(
    source: Path, *, max_bytes: int = MAX_DOCUMENT_BYTES, notice: Notice = warn
) -> Iterator[Document]:
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
    root = source.resolve()
    for folder, subfolders, names in os.walk(source, onerror=_cannot_list):
        hidden = [name for name in (*subfolders, *names) if name.startswith(".")]
        left_out["hidden"] += len(hidden)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        linked = [name for name in subfolders if (Path(folder) / name).is_symlink()]
        for name in linked:
            notice(f"{Path(folder) / name}: a link to a folder, not followed")
        for path in (Path(folder) / name for name in names if not name.startswith(".")):
            if path.suffix.lower() not in READABLE:
                left_out[path.suffix.lower() or "no file type"] += 1
            elif not path.resolve().is_relative_to(root):
                notice(f"{path}: a link that leads outside {source}, refused")
            elif not path.is_file():
                notice(f"{path}: not a regular file, left out")
            else:
                files.append(path)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()) if count)
    if counts:
        notice(f"{source}: left out files that are not read: {counts}")
    return sorted(files, key=lambda path: path.relative_to(source).parts)


def _cannot_list(error: OSError) -> None:
    raise DataError(
        f"cannot list the folder: {error.strerror}", where=str(error.filename), hint="check the folder's rights"
    ) from error


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
            raise DataError(
                f"too large for one document: {sizes}", where=str(path), hint="split it into several files"
            )
        title, text = READERS[path.suffix.lower()](path.read_bytes(), path, notice)
    except OSError as error:
        hint = "check the file's rights, or move it elsewhere"
        raise DataError(f"cannot read the file: {error.strerror}", where=str(path), hint=hint) from error
    yield make_document(name, title or path.stem.replace("_", " "), _tidy(text), str(path)), str(path)


def _tidy(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _decode(data: bytes, path: Path, notice: Notice) -> str:
    """UTF-8, else the most likely encoding, named through `notice`; DataError for what is no text."""
    if b"\0" in data and not data.startswith(BYTE_ORDER_MARKS):
        raise DataError(
            "not a text file (it holds zero bytes)", where=str(path), hint="name it by its true type"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        encoding = "utf-16" if data.startswith(BYTE_ORDER_MARKS) else _likely_encoding(data)
        text = data.decode(encoding, errors="replace")
        notice(
            f"{path}: not UTF-8 (byte {error.start}), read as {encoding}"
            + (f"; {text.count(chr(0xFFFD))} characters could not be read" if chr(0xFFFD) in text else "")
        )
        return text


def _likely_encoding(data: bytes) -> str:
    from resiliparse.parse.encoding import detect_encoding

    return str(detect_encoding(data) or "cp1252")


def _read_text(data: bytes, path: Path, notice: Notice) -> tuple[str, str]:
    return "", _decode(data, path, notice)


def _read_markdown(data: bytes, path: Path, notice: Notice) -> tuple[str, str]:
    """The title is the front matter's, else the first heading of level 1; the front matter is dropped."""
    text = _tidy(_decode(data, path, notice))
    front_matter = FRONT_MATTER.match(text)
    if front_matter:
        text = text[front_matter.end() :]
    named = FRONT_MATTER_TITLE.search(front_matter[1]) if front_matter else None
    heading = FIRST_HEADING.search(text)
    return (named[2] if named else heading[1] if heading else ""), text


def _read_html(data: bytes, path: Path, notice: Notice) -> tuple[str, str]:
    """All visible text but navigation and page footers; headings become Markdown headings.

    Not resiliparse's main-content heuristics: they drop short lists, which in a handbook are the content.
    """
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(_decode(data, path, notice))
    if tree.body is None:
        return "", ""
    for heading in tree.body.query_selector_all("h1, h2, h3, h4, h5, h6"):
        words = " ".join(str(heading.text).split())
        heading.text = f"{'#' * int(str(heading.tag)[1])} {words}" if words else ""
    first = tree.body.query_selector("h1")
    title = " ".join((tree.title or "").split()) or (str(first.text).removeprefix("# ") if first else "")
    return title, str(
        extract_plain_text(tree, main_content=False, alt_texts=False, skip_elements=PAGE_FURNITURE)
    )


def _read_pdf(data: bytes, path: Path, notice: Notice) -> tuple[str, str]:
    """The text layer, page after page; a page without one is named (no text recognition is done)."""
    import pypdfium2

    try:
        with pypdfium2.PdfDocument(data) as pdf:
            pages = [page.get_textpage().get_text_bounded() for page in pdf]
            title = pdf.get_metadata_dict().get("Title", "").strip()
    except pypdfium2.PdfiumError as error:
        raise DataError(
            f"not a readable PDF: {error}",
            where=str(path),
            hint="open it in a viewer; remove its password or save it again",
        ) from error
    without_text = [str(number) for number, page in enumerate(pages, start=1) if not page.strip()]
    if without_text:
        notice(f"{path}: no text on page {', '.join(without_text)} of {len(pages)} (a scan?)")
    text = "\n\n".join(_tidy(page.replace(BROKEN_WORD, "").replace("\0", "")) for page in pages)
    return title, text.encode("utf-8", "replace").decode()


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
                yield make_document(id, row["title"], _tidy(row["text"]), str(path)), where


def _parse_row(line: bytes, where: str) -> dict[str, str]:
    """`id` and `title` ("" where absent) and `text`."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
        json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        hint = "write one document a line: {\"id\": …, \"text\": …}"
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


READERS: dict[str, Callable[[bytes, Path, Notice], tuple[str, str]]] = {
    ".txt": _read_text,
    ".md": _read_markdown,
    ".html": _read_html,
    ".htm": _read_html,
    ".pdf": _read_pdf,
}
"""Types of files that are one document, each with the function that gives its title (may be empty) and text.
"""

ROWS = ".jsonl"
READABLE = (*READERS, ROWS)
