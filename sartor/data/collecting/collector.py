"""A whole collection: sources to items, items to documents, documents to the folder. What is done stays done."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sartor import __version__
from sartor.base.console import Progress, progress, warn
from sartor.base.errors import DataError, Interrupted, UsageError
from sartor.base.lock import Lock
from sartor.base.out_folder import make_out_folder
from sartor.base.signals import StopRequest
from sartor.data.collecting.crawl import WEB_KINDS, Crawl, Step
from sartor.data.collecting.documents_of import DocumentMaker
from sartor.data.collecting.entry import Entries, ReadingLimits, Rejected
from sartor.data.collecting.files import read_file
from sartor.data.collecting.gathering import Gatherer
from sartor.data.collecting.hub import PREFIX, HubName, download, find_dataset
from sartor.data.collecting.journal import UNCHANGED, Item, Journal
from sartor.data.collecting.publishing import publish, published, write_rejects
from sartor.data.collecting.report import CollectReport, count
from sartor.data.collecting.rows import read_row_documents
from sartor.data.collecting.sources import PATH, WEB, Source, SourceFile, files_of
from sartor.data.collecting.web.addresses import Resolver, system_resolver
from sartor.data.collecting.web.client import Client
from sartor.data.collecting.web.pages import PAGE
from sartor.data.collecting.web.polite import Manners, PoliteClient
from sartor.data.parsers.isolated import IsolatedParser

JOURNAL, LOCK = "journal.sqlite", ".lock"
FILE, HUB_FILE, FOLDER = "file", "hub", "folder"
FILES_AT_ONCE = ENTRIES_BETWEEN_NEWS = 1_000
NAP_SECONDS = 0.2
GOES_ON = "the same command goes on from here"


@dataclass(frozen=True)
class WebSettings:
    """How the web is visited. `follow` is how many links deep, on the same host; `contact` tells owners of sites where
    to write to."""

    manners: Manners
    page_bytes: int
    page_seconds: float
    follow: int
    max_pages: int
    allow_private: bool
    contact: str


class Collector:
    """Collects `sources` into `folder`. Use it as a context manager: it holds the folder's lock and the journal."""

    def __init__(
        self,
        sources: Sequence[Source],
        folder: Path,
        limits: ReadingLimits,
        web: WebSettings,
        parser: IsolatedParser | None = None,
        resolve: Resolver = system_resolver,
    ):
        self.sources, self.folder, self.limits, self.web = sources, folder, limits, web
        self._resolve = resolve
        _require_collection(folder)
        self._lock = Lock(folder / LOCK, "collecting here")
        self._lock.acquire()
        try:
            self._journal = Journal(folder / JOURNAL)
        except BaseException:
            self._lock.release()
            raise
        self._parser = parser or IsolatedParser()
        self._maker = DocumentMaker(limits, self._parser)

    def run(self, stop: StopRequest) -> CollectReport:
        """Collect what is new or changed, and publish. Interrupted when `stop` asks for it."""
        self._require_same_settings()
        self._journal.begin_round()
        self._list_sources(stop)
        self._read_files(stop)
        self._visit_web(stop)
        return self._finish()

    def close(self) -> None:
        self._parser.close()
        self._journal.close()
        self._lock.release()

    def __enter__(self) -> "Collector":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_same_settings(self) -> None:
        """What decides which documents there are must not change; sources may be added at the end."""
        now = {**asdict(self.limits), "follow": self.web.follow, "sources": [source.place for source in self.sources]}
        before = json.loads(self._journal.fact("settings", "{}"))
        for name, value in before.items():
            same = now["sources"][: len(value)] == value if name == "sources" else now[name] == value
            if not same:
                hint = f"choose another folder; here it was {json.dumps(value, ensure_ascii=False)}"
                raise UsageError(f"collected before with other {name}", where=str(self.folder), hint=hint)
        self._journal.set_fact("settings", json.dumps(now))

    def _list_sources(self, stop: StopRequest) -> None:
        for number, source in enumerate(self.sources):
            if source.kind == PATH:
                self._list_files(source, number, stop)
            elif source.kind == WEB:
                self._journal.see(source.place, PAGE, source.place, number, self.web.follow)
            else:
                self._list_dataset(source, number)

    def _list_files(self, source: Source, number: int, stop: StopRequest) -> None:
        """Note the files; what is refused or left out belongs to an item of the folder's own."""
        self._journal.see(f"folder:{source.place}", FOLDER, source.given, number)
        gatherer = Gatherer(self._journal, self._journal.item(f"folder:{source.place}"))
        files: list[tuple[str, str, str, int]] = []
        for found in files_of(source, Path(os.path.abspath(self.folder))):
            if isinstance(found, SourceFile):
                files.append((found.key, FILE, found.name, number))
            else:
                gatherer.add(found)
            if len(files) >= FILES_AT_ONCE:
                self._journal.see_all(files)
                files.clear()
                _check(stop)
        self._journal.see_all(files)
        gatherer.settle()

    def _list_dataset(self, source: Source, number: int) -> None:
        dataset = find_dataset(HubName.parse(source.given))
        self._journal.set_fact(f"licence of {dataset.dataset}", dataset.licence or "")
        place = f"{PREFIX}{dataset.dataset}@{dataset.commit}"
        self._journal.see_all([(f"{place}/{file}", HUB_FILE, f"{place}/{file}", number) for file in dataset.files])

    def _read_files(self, stop: StopRequest) -> None:
        items = list(self._journal.pending((FILE, HUB_FILE)))
        sizes = [_size(item) for item in items]
        with progress("reading files", sum(sizes)) as tracker:
            for item, size in zip(items, sizes, strict=True):
                self._read(item, stop, tracker)
                tracker.advance(size, item.name[-60:])

    def _read(self, item: Item, stop: StopRequest, tracker: Progress) -> None:
        fingerprint = item.key if item.kind == HUB_FILE else _fingerprint(item)
        if fingerprint is not None and fingerprint == item.fingerprint:
            self._journal.leave(item, UNCHANGED)
            return
        gatherer = Gatherer(self._journal, item)
        try:
            for entry in self._entries(item):
                gatherer.add(entry)
                if gatherer.tally.found % ENTRIES_BETWEEN_NEWS == 0:
                    tracker.advance(0, f"{item.name[-60:]}: {gatherer.tally.documents:,} documents")
                _check(stop)
        except DataError as error:
            gatherer.add(Rejected(item.name, "unreadable", error.what))
            fingerprint = None  # rights and networks change, and leave the file's size and time as they are
        except OSError as error:
            gatherer.add(Rejected(item.name, "unreadable", f"cannot be read: {error.strerror or error}"))
            fingerprint = None
        gatherer.settle(fingerprint=fingerprint)

    def _entries(self, item: Item) -> Entries:
        if item.kind == FILE:
            return read_file(_path(item), item.name, self._maker)
        dataset, _, rest = item.key.removeprefix(PREFIX).partition("@")
        commit, _, file = rest.partition("/")
        stated = self._journal.fact(f"licence of {dataset}", "") or self.limits.licence
        limits = ReadingLimits(self.limits.document_bytes, self.limits.text_field, stated)
        return read_row_documents(download(dataset, commit, file), item.name, limits)

    def _visit_web(self, stop: StopRequest) -> None:
        if not any(True for _ in self._journal.pending(WEB_KINDS)):
            return
        agent = f"Sartor/{__version__} (collects text for language models{'; ' if self.web.contact else ''}"
        settings = (self.web.page_bytes, self.web.page_seconds, self.web.allow_private, self._resolve)
        with Client(f"{agent}{self.web.contact})", *settings) as client, progress("fetching pages", 1.0) as tracker:
            polite = PoliteClient(client, self.web.manners, self._journal, sleep=lambda seconds: _nap(seconds, stop))
            crawl = Crawl(self._journal, polite, self._maker, self.web.max_pages)
            _check(stop)
            crawl.run(lambda step: _after_page(step, tracker, stop))

    def _finish(self) -> CollectReport:
        removed = self._journal.forget_unseen()
        report = count(self._journal, removed)
        there = published(self.folder)
        changed = removed or self._journal.has_new_documents()
        if there is None or changed or there.num_documents != report.total:
            there = publish(self._journal, self.folder)
        if there.num_documents != report.total:
            raise RuntimeError(f"{there.num_documents} documents were published of {report.total}")
        write_rejects(self._journal, self.folder)
        self._journal.end_round()
        report.text_bytes = there.num_bytes
        for problem in report.problems:
            warn(f"could not be checked again, kept as it was: {problem}")
        return report


def _require_collection(folder: Path) -> None:
    """A folder of something else is left alone."""
    make_out_folder(folder)
    strange = any(folder.iterdir()) and not (folder / JOURNAL).exists()
    if strange and {child.name for child in folder.iterdir()} != {LOCK}:
        raise UsageError("holds other things", where=str(folder), hint="give a new or an empty folder with --out")


def _path(item: Item) -> Path:
    return Path(item.key.removeprefix("file:"))


def _size(item: Item) -> float:
    try:
        return max(1, _path(item).stat().st_size) if item.kind == FILE else 1e8
    except OSError:
        return 1


def _fingerprint(item: Item) -> str | None:
    """Size and time of change, as other tools that copy only what changed take them; None when it cannot be told."""
    try:
        found = _path(item).stat()
    except OSError:
        return None
    return f"{found.st_size} {found.st_mtime_ns}"


def _check(stop: StopRequest) -> None:
    if stop.requested:
        raise Interrupted("stopped as asked; what is collected is kept", hint=GOES_ON)


def _nap(seconds: float, stop: StopRequest) -> None:
    """Sleep, but wake up when asked to stop."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        _check(stop)
        time.sleep(min(left, NAP_SECONDS))


def _after_page(step: Step, tracker: Progress, stop: StopRequest) -> None:
    tracker.update(step.done / max(step.known, 1), f"{step.done} of {step.known}: {step.url[-60:]}")
    _check(stop)
