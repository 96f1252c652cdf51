"""Knowledge files as data for the pages: what is in them, search, and documents added and removed.

Adding and removing go through `read_documents`, `index_folder` and `KnowledgeStore.remove`, as the command line does.
Files that a measured run answers from are shown but not changed: the run would no longer be what was measured.
"""

import json
import re
import tempfile
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from sartor.base.errors import UsageError
from sartor.data.extract import MAX_DOCUMENT_BYTES, read_documents
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.protocol import TextEmbedder
from sartor.retrieval.search import search
from sartor.retrieval.store import KnowledgeStore
from sartor.serving.app import read_json_body
from sartor.serving.errors import ApiError, Json

FILE_NAME_HEADER = "x-sartor-file"
MOST_PASSAGES = 50
MAX_BODY_BYTES = 64 * 1024
LONGEST_NAME_BYTES = 200


@dataclass
class KnowledgeFile:
    """One file; `writable` ones may be added to."""

    path: Path
    writable: bool
    store: KnowledgeStore


class DocumentShelf:
    """The knowledge files that the pages show, by number. `open_embedder` opens the model that a file was made with; it
    is called when that is first needed."""

    def __init__(self, files: Sequence[Path], open_embedder: Callable[[KnowledgeStore], TextEmbedder]):
        self._files = [KnowledgeFile(path.resolve(), True, KnowledgeStore(path)) for path in files]
        self._open_embedder = open_embedder
        self._embedders: dict[str | None, TextEmbedder] = {}
        self._lock = threading.Lock()
        self.changing = threading.Lock()

    @property
    def files(self) -> list[KnowledgeFile]:
        return list(self._files)

    def embedder(self, store: KnowledgeStore) -> TextEmbedder:
        with self._lock:
            source = store.embedder_source
            if source not in self._embedders:
                self._embedders[source] = self._open_embedder(store)
            return self._embedders[source]

    def also(self, paths: Iterable[Path]) -> None:
        """Show these too, to read only."""
        for path in dict.fromkeys(paths):
            if self.number(path) is None:
                self._files.append(KnowledgeFile(path.resolve(), False, KnowledgeStore(path)))

    def number(self, path: Path) -> int | None:
        return next((at for at, file in enumerate(self._files) if file.path == path.resolve()), None)

    def close(self) -> None:
        for file in self._files:
            file.store.close()

    def __getitem__(self, number: str) -> KnowledgeFile:
        """ApiError 404 for a number that stands for no file."""
        if not re.fullmatch(r"\d{1,4}", number) or int(number) >= len(self._files):
            raise ApiError(404, "there is no such knowledge file", param="file", code="not_found")
        return self._files[int(number)]


class DocumentRoutes:
    def __init__(self, shelf: DocumentShelf):
        self._shelf = shelf

    async def list_all(self, request: Request) -> Response:
        return Json(await run_in_threadpool(self._list, request.query_params.get("file")))

    async def show(self, request: Request) -> Response:
        query = request.query_params
        return Json(await run_in_threadpool(self._show, query.get("file", "0"), query.get("id", "")))

    async def search(self, request: Request) -> Response:
        return Json(await run_in_threadpool(self._search, dict(request.query_params)))

    async def add(self, request: Request) -> Response:
        """One file as the body; its name, percent-encoded, in a header that no other site can send unasked."""
        if request.headers.get("content-type") != "application/octet-stream":
            message = "send the file as Content-Type: application/octet-stream"
            raise ApiError(415, message, code="unsupported_media_type")
        name = _file_name(request.headers.get(FILE_NAME_HEADER, ""))
        content = bytearray()
        async for piece in request.stream():
            content += piece
            if len(content) > MAX_DOCUMENT_BYTES:
                message = f"{name} is larger than {MAX_DOCUMENT_BYTES // 1_000_000} MB; split it into several files"
                raise ApiError(413, message, code="request_too_large", headers={"Connection": "close"})
        file = self._changeable(request.query_params.get("file", "0"))
        return Json(await run_in_threadpool(self._add, file, name, bytes(content)))

    async def remove(self, request: Request) -> Response:
        try:
            body = json.loads(await read_json_body(request, MAX_BODY_BYTES))
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or not isinstance(body.get("id"), str) or not isinstance(body.get("file"), int):
            raise ApiError(400, "the body should be an object with file and id", code="invalid_body")
        file = self._changeable(str(body["file"]))
        return Json(await run_in_threadpool(self._remove, file, body["id"]))

    def _changeable(self, number: str) -> KnowledgeFile:
        file = self._shelf[number]
        if not file.writable:
            message = f"{file.path.name} belongs to a measured run: name it with --documents to change it"
            raise ApiError(403, message, code="read_only")
        return file

    def _list(self, number: str | None) -> dict[str, Any]:
        files = [
            {"number": at, "name": file.path.name, "path": str(file.path), "writable": file.writable}
            for at, file in enumerate(self._shelf.files)
        ]
        if not files:
            return {"files": [], "file": None}
        store = self._shelf[number or "0"].store
        with store.reading():
            return {
                "files": files,
                "file": int(number or "0"),
                "statistics": asdict(store.statistics()),
                "fields": store.fields(),
                "documents": [asdict(entry) for entry in store.documents()],
            }

    def _show(self, number: str, document_id: str) -> dict[str, Any]:
        file = self._shelf[number]
        with file.store.reading():
            document, spans = file.store.document(document_id), file.store.spans(document_id)
        if document is None:
            raise ApiError(404, f"there is no document called {document_id!r}", param="id", code="not_found")
        return {**asdict(document), "spans": spans, "writable": file.writable, "file_name": file.path.name}

    def _search(self, query: Mapping[str, str]) -> dict[str, Any]:
        text = query.get("q", "").strip()
        if not text:
            raise ApiError(400, "write what to look for", param="q")
        file, k, weight = self._shelf[query.get("file", "0")], _count(query.get("k", "8")), _weight(query.get("weight"))
        (found,) = search(file.store, self._shelf.embedder(file.store), [text], k, weight, _where(query))
        return {"passages": [asdict(passage) for passage in found]}

    def _add(self, file: KnowledgeFile, name: str, content: bytes) -> dict[str, Any]:
        notices: list[str] = []
        with tempfile.TemporaryDirectory(prefix="sartor-upload-") as folder, self._shelf.changing:
            place = Path(folder) / name
            place.write_bytes(content)
            read = list(read_documents(place, notice=lambda text: notices.append(text.replace(str(place), name))))
            documents = [replace(each, path=name) for each in read]
            embedder = self._shelf.embedder(file.store)
            report = index_folder(file.store, documents, embedder, keep=set(file.store.fingerprints()))
        return {**asdict(report), "notices": notices, "documents": [each.id for each in documents]}

    def _remove(self, file: KnowledgeFile, document_id: str) -> dict[str, Any]:
        with self._shelf.changing:
            if file.store.document(document_id) is None:
                raise ApiError(404, f"there is no document called {document_id!r}", param="id", code="not_found")
            file.store.remove([document_id])
        return {"removed": document_id}


def _file_name(encoded: str) -> str:
    """The last part of the name that was sent. ApiError 400 for one that cannot name a file."""
    try:
        name = urllib.parse.unquote(encoded, errors="strict").replace("\\", "/").rpartition("/")[2]
    except UnicodeDecodeError:
        name = ""
    too_long = len(name.encode("utf-8", "replace")) > LONGEST_NAME_BYTES
    if name.strip(". ") == "" or too_long or re.search(r"[\x00-\x1f\x7f]", name):
        raise ApiError(400, "the file needs a name of its own, of at most 200 bytes", param="name")
    if name.startswith("."):
        raise ApiError(400, f"{name} is a hidden file; rename it", param="name")
    return name


def _count(value: str) -> int:
    if not re.fullmatch(r"\d{1,3}", value) or not 1 <= int(value) <= MOST_PASSAGES:
        raise ApiError(400, f"how many passages: a whole number from 1 to {MOST_PASSAGES}", param="k")
    return int(value)


def _weight(value: str | None) -> float | None:
    """None where the knowledge file's own ranking is to be used."""
    if value in (None, ""):
        return None
    try:
        weight = float(value or "")
    except ValueError:
        weight = -1.0
    if not 0 <= weight <= 1:
        raise ApiError(400, "the weight of meaning goes from 0 to 1", param="weight")
    return weight


def _where(query: Mapping[str, str]) -> dict[str, Any] | None:
    """`where` is a JSON object: the field and its value or values."""
    if not query.get("where"):
        return None
    try:
        where = json.loads(query["where"])
    except (ValueError, RecursionError):
        where = None
    if not isinstance(where, dict) or not all(_is_filter(value) for value in where.values()):
        raise ApiError(400, "a filter is a JSON object of fields and values", param="where")
    return where


def _is_filter(value: Any) -> bool:
    return all(isinstance(each, str | int | float | bool) for each in (value if isinstance(value, list) else [value]))


def require_files(files: Sequence[Path]) -> None:
    """Make the knowledge files that are missing, to be filled on the page. UsageError for a name of another kind."""
    for file in files:
        if file.suffix != ".sqlite":
            raise UsageError(
                "is no knowledge file", where=str(file), hint="make one: sartor index DOCUMENTS --out NAME.sqlite"
            )
        KnowledgeStore(file, create=True).close()
