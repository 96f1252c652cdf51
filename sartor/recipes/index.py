"""Documents into a knowledge store, and questions to it. A store is named by its file or by a database's address."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sartor.base.configuration import nearest
from sartor.base.console import warn
from sartor.base.errors import DataError, SartorError, UsageError
from sartor.data.extract import read_documents
from sartor.generation.protocol import Passage
from sartor.retrieval.embedder import DEFAULT_EMBEDDER, Embedder
from sartor.retrieval.indexing import IndexReport, index_folder
from sartor.retrieval.opening import open_store
from sartor.retrieval.postgres_server import is_postgres
from sartor.retrieval.protocol import TextEmbedder, Where
from sartor.retrieval.search import StoreRetriever
from sartor.retrieval.store import KnowledgeStore
from sartor.retrieval.watching import changes

OnBadFile = Literal["stop", "skip"]


@dataclass(frozen=True)
class Indexed:
    """What happened to the documents, and the files that could not be read, each with the reason."""

    report: IndexReport
    bad_files: dict[str, str]


def index(documents: Path, store: str, on_bad_file: OnBadFile = "stop", embedder: str | None = None) -> Indexed:
    """Bring the knowledge store up to date with the documents; only what changed is embedded, by the `embedder` named
    (default: the store's own, `minilm` for a new store).

    A file that cannot be read is a DataError, and nothing is changed; with `skip` it is named, the rest goes on, and
    what the store has of that file stays.
    """
    return _Indexer(documents, store, on_bad_file, embedder).index()


def watch(
    documents: Path, store: str, on_bad_file: OnBadFile = "skip", embedder: str | None = None
) -> Iterator[Indexed]:
    """Index now and whenever the documents change, for ever. What goes wrong after the first time is said, and the
    next change tried again.
    """
    indexer = _Indexer(documents, store, on_bad_file, embedder)
    first = True
    for _ in changes(documents, None if is_postgres(store) else Path(store)):
        try:
            yield indexer.index()
        except SartorError as error:
            if first:
                raise
            warn(f"{error.where}: {error.what}; the store stays as it is until the documents change again")
        first = False


class _Indexer:
    """Indexes the same documents again and again: the model is opened once, and every notice is given once."""

    def __init__(self, documents: Path, store: str, on_bad_file: OnBadFile, embedder: str | None):
        self._documents, self._store, self._on_bad_file = documents, store, on_bad_file
        self._wanted = embedder
        self._embedder: TextEmbedder | None = None
        self._noticed: set[str] = set()

    def index(self) -> Indexed:
        bad: dict[str, str] = {}
        bad_names: set[tuple[str, ...]] = set()

        def skip(path: Path, error: DataError) -> None:
            bad[str(path)] = f"{error.where}: {error.what}"
            bad_names.add(path.relative_to(self._documents).parts or (path.name,))
            self._notice(f"{error.where}: {error.what}; left out")

        on_bad: Callable[[Path, DataError], None] | None = skip if self._on_bad_file == "skip" else None
        found = list(read_documents(self._documents, notice=self._notice, on_bad_file=on_bad))
        if self._embedder is None and not is_postgres(self._store) and not Path(self._store).expanduser().exists():
            self._embedder = Embedder.open(self._wanted or DEFAULT_EMBEDDER)  # without it no file is begun
        store = open_store(self._store, create=True)  # refuses a file of another kind before a model is fetched
        try:
            if self._embedder is None:
                self._embedder = Embedder.open(self._wanted) if self._wanted else Embedder.of_store(store)
            keep = {id for id in store.fingerprints() if _is_of(store.document(id), bad_names)} if bad else set()
            return Indexed(index_folder(store, found, self._embedder, keep=keep), bad)
        finally:
            store.close()

    def _notice(self, text: str) -> None:
        if text not in self._noticed:
            self._noticed.add(text)
            warn(text)


def _is_of(document: object, names: Collection[tuple[str, ...]]) -> bool:
    """Whether the document's file has one of these names below the folder. That may have been spelled otherwise when
    the document was indexed (relative, from elsewhere), so only the ends of the paths are compared."""
    parts = Path(str(getattr(document, "path", ""))).parts
    return any(parts[-len(name) :] == name for name in names)


def delete(store: str, document_ids: Sequence[str]) -> None:
    """Remove documents from a store and every word of them from its file. UsageError, and nothing is removed, for an id
    that is not there.
    """
    opened = open_store(store)
    try:
        known = opened.fingerprints()
        for id in document_ids:
            if id not in known:
                near = nearest(id, known)
                hint = f"did you mean {near}?" if near else f"`sartor index {opened.location} --list` lists them"
                raise UsageError(f"there is no document {id!r}", where=opened.location, hint=hint)
        opened.remove(document_ids)
    finally:
        opened.close()


def open_file(store: str) -> KnowledgeStore:
    """A store that is a file; UsageError for a database, which is kept up with its own tools."""
    if is_postgres(store):
        raise UsageError("this works on knowledge files", where="postgresql", hint="use the database's own tools")
    return KnowledgeStore(Path(store).expanduser())


def search(
    store: str, queries: Sequence[str], k: int, dense_weight: float | None = None, where: Where | None = None
) -> list[list[Passage]]:
    """The best passages for each query among the documents that `where` allows; `dense_weight` None ranks as the
    store says. UsageError for a field that no document has.
    """
    opened = open_store(store)
    try:
        if isinstance(opened, KnowledgeStore):
            _check_fields(opened, where or {})
        return StoreRetriever(opened, Embedder.of_store(opened), dense_weight).retrieve(queries, k, where)
    finally:
        opened.close()


def _check_fields(store: KnowledgeStore, where: Where) -> None:
    known = store.fields()
    for field in where:
        if field not in known:
            near = nearest(field, known)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(known) or 'none'}"
            raise UsageError(f"no document has a field {field!r}", where=store.location, hint=hint)
