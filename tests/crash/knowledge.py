"""R11 and R12: a knowledge store holds exactly the documents that were committed, compared with a dictionary."""

import random
import re
import shutil
import signal
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sartor.data.extract import Document, make_document
from sartor.retrieval.chunking import TARGET_TOKENS, chunk_text
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.query import search_words
from sartor.retrieval.store import KnowledgeStore
from tests.crash.bench import Bench, hushed
from tests.crash.children import Child
from tests.crash.system_calls import GO_ON, WHY_NOT, Call, Verdict

WORDS = ("ship", "sea", "storm", "harbour", "sailor", "anchor", "über", "日本", "deck", "wind", "rope", "mast")
FILE = "knowledge.sqlite"
Documents = dict[str, Document]


class WordEmbedder:
    """Each word is a fixed direction, a text the normalised sum of its words."""

    name, source, dimension, max_tokens = "words", "words", 24, 40

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in ["", *re.findall(r"\w+", text)]:
                vectors[row] += np.random.default_rng(zlib.crc32(word.encode())).standard_normal(self.dimension)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self.embed(texts)

    def count_tokens(self, text: str) -> int:
        return 2 + len(text.split())


EMBEDDER = WordEmbedder()


def some_document(id: str, draw: random.Random) -> Document:
    text = " ".join(draw.choices(WORDS, k=draw.randrange(1, 150)))
    return make_document(id, f"About {id}", text, f"{id}.txt", {"year": draw.randrange(2020, 2023), "folder": id[:2]})


def bring_to(store: KnowledgeStore, documents: Documents) -> None:
    with hushed():
        index_folder(store, documents.values(), EMBEDDER)


def differences_from(store: KnowledgeStore, documents: Documents) -> list[str]:
    """What of the store is not as if it had been made of these documents at once: texts, chunks, vectors, words,
    filters, soundness.
    """
    found = store.problems()
    if (held := {id: store.document(id) for id in store.fingerprints()}) != documents:
        return [*found, f"the documents are {sorted(held)}, not {sorted(documents)}, or their texts differ"]
    expected = {
        (id, position): chunk
        for id, document in documents.items()
        for position, chunk in enumerate(
            chunk_text(document.text, document.title, EMBEDDER.count_tokens, TARGET_TOKENS, EMBEDDER.max_tokens)
        )
    }
    ids, vectors = store.matrix()
    stored = store.chunks(ids.tolist())
    places = [(stored[id].document_id, stored[id].position) for id in ids.tolist()]
    if sorted(places) != sorted(expected):
        return [*found, "the chunks are not those of the documents"]
    for place, chunk in zip(places, stored.values(), strict=True):
        wanted = expected[place]
        if (chunk.start, chunk.end, chunk.title, chunk.text) != (wanted.start, wanted.end, wanted.title, wanted.text):
            found.append(f"chunk {place} is not what it should be")
    embedded = EMBEDDER.embed([expected[place].embedded for place in places]).astype(np.float16)
    if len(ids) and not np.array_equal(vectors, embedded):
        found.append("the vectors are not those of the chunks")
    return found + _search_differences(store, documents, {place: expected[place].text for place in places})


def _search_differences(store: KnowledgeStore, documents: Documents, texts: dict[tuple[str, int], str]) -> list[str]:
    """Every word, alone and with a filter, finds the chunks that hold it."""
    found = []
    for word in WORDS:
        for year in (None, 2021):
            where = None if year is None else {"year": year}
            asked = np.zeros((1, EMBEDDER.dimension), dtype=np.float32)
            (candidates,) = store.candidates([word], asked, len(texts) + 1, where)
            chunks = store.chunks(candidates.ids[candidates.lexical > 0].tolist()).values()
            holding = {
                place
                for place, text in texts.items()
                if search_words(word)[0] in text.split() and year in (None, documents[place[0]].metadata["year"])
            }
            if {(chunk.document_id, chunk.position) for chunk in chunks} != holding:
                found.append(f"{word!r} in {year or 'any year'} does not find what holds it")
    return found


@dataclass(frozen=True)
class Scene:
    """A change that is killed: from the documents before to those after. `seed` makes the changed ones."""

    name: str
    work: Callable[[KnowledgeStore], None]
    after: Documents


def _world(seed: int, ids: Sequence[str]) -> Documents:
    draw = random.Random(seed)
    return {id: some_document(id, draw) for id in ids}


BEFORE = _world(1, ["a1", "a2", "b1", "b2", "c1", "c2"])
CHANGED = BEFORE | _world(2, ["a2", "b2", "c2"])
ADDED = BEFORE | _world(3, ["d1", "d2"])
DELETED = {id: document for id, document in BEFORE.items() if id not in ("a1", "c2")}
SCENES = (
    Scene("add", lambda store: bring_to(store, ADDED), ADDED),
    Scene("replace", lambda store: bring_to(store, CHANGED), CHANGED),
    Scene("delete", lambda store: store.remove(["a1", "c2"]), DELETED),
    Scene("compact", lambda store: _compact(store), BEFORE),
)


def killed_at_every_step(bench: Bench) -> None:
    """R11: every call that changes a file, killed before it and in the middle of it, of add, replace, delete and
    compact; then the same again, to its end.
    """
    if WHY_NOT is not None:
        bench.skipped.append(WHY_NOT)
        return
    template = bench.folder / "template"
    template.mkdir()
    with KnowledgeStore(template / FILE, create=True) as store:
        bring_to(store, CHANGED)
        bring_to(store, BEFORE)  # leaves empty pages and vectors without use to compact
    for scene in SCENES:
        every = moments_of(_calls(bench, scene, template))
        chosen = every if len(every) <= bench.num_tries else bench.draw.sample(every, bench.num_tries)
        for number, half in chosen:
            with bench.one_try(f"{scene.name}, killed {'inside' if half else 'before'} call {number}") as folder:
                _killed(bench, scene, template, folder, number, half)


def moments_of(calls: Sequence[Call]) -> list[tuple[int, bool]]:
    """When a process can be killed: before each of these calls, numbered from 1, and (True) in the middle of a write,
    which alone has one.
    """
    return [
        (number, half)
        for number, call in enumerate(calls, 1)
        for half in ((False, True) if call.name == "write" else (False,))
    ]


def _calls(bench: Bench, scene: Scene, template: Path) -> list[Call]:
    """Those of the whole work that change a file."""
    folder = bench.folder / f"{scene.name}-whole"
    shutil.copytree(template, folder)
    calls: list[Call] = []
    ended = _watched(folder, scene.work, lambda call: calls.append(call) or GO_ON if call.changes else GO_ON)
    bench.check(ended == 0, f"{scene.name} ended with {ended}")
    with KnowledgeStore(folder / FILE) as store:
        bench.failures += differences_from(store, scene.after)
    shutil.rmtree(folder)
    return calls


def _killed(bench: Bench, scene: Scene, template: Path, folder: Path, number: int, half: bool) -> None:
    shutil.copytree(template, folder, dirs_exist_ok=True)
    code = _watched(folder, scene.work, _at_call(number, half))
    bench.check(code == -signal.SIGKILL, f"it was not killed but ended with {code}")
    with KnowledgeStore(folder / FILE) as store:
        possible = [differences_from(store, documents) for documents in (BEFORE, scene.after)]
        bench.check([] in possible, "; ".join(sum(possible, [])))
        scene.work(store)
        bench.failures += differences_from(store, scene.after)


def _compact(store: KnowledgeStore) -> None:
    store.compact()


def _at_call(number: int, half: bool) -> Callable[[Call], Verdict]:
    """Killed at the call with this number among those that change files, or where it is a write in its middle."""
    seen = 0

    def before(call: Call) -> Verdict:
        nonlocal seen
        seen += call.changes
        due = call.changes and seen == number
        return Verdict(kill=due, half=due and half and call.name == "write")

    return before


def _watched(folder: Path, work: Callable[[KnowledgeStore], None], before: Callable[[Call], Verdict]) -> int:
    """The exit code of `work` on the store in `folder`, in a child. Its memory is small, so that pages are written
    before the commit.
    """

    def child() -> None:
        with KnowledgeStore(folder / FILE, create=True) as store:
            store._connection.execute("PRAGMA cache_size = 4")
            work(store)

    output = folder / "output"
    output.mkdir(exist_ok=True)
    files = {str(folder / name) for name in (FILE, f"{FILE}-journal", f"{FILE}-wal", f"{FILE}-shm")}
    return (
        Child(child, output, watched=True)
        .watched(folder, lambda call: before(call) if files & set(call.paths) else GO_ON)
        .code
    )


def random_operations(bench: Bench) -> None:
    """R12: add, update, delete, compact, reopen and be killed in any order; never a difference from a dictionary."""
    if WHY_NOT is not None:
        bench.skipped.append(WHY_NOT)
        return
    bench.folder.joinpath("store").mkdir()
    folder, draw = bench.folder / "store", bench.draw
    documents: Documents = {}
    store = KnowledgeStore(folder / FILE, create=True)
    while bench.tries < bench.num_tries and not bench.failures:
        kind = draw.choice(["write", "write", "write", "delete", "compact", "reopen", "killed", "killed"])
        with bench.one_try(f"operation {bench.tries + 1}: {kind}"):
            work, after = _an_operation(kind, documents, draw)
            if kind in ("killed", "reopen"):
                store.close()
            code = 0
            if kind == "killed":  # where that many calls are not made, it ends by itself
                code = _watched(folder, work, _at_call(draw.randrange(1, 40), draw.random() < 0.5))
            if kind in ("killed", "reopen"):
                store = KnowledgeStore(folder / FILE)
            if kind != "killed":
                work(store)
            bench.check(code in (0, -signal.SIGKILL), f"ended with {code}")
            wrong = differences_from(store, after)
            if wrong and code == -signal.SIGKILL and not differences_from(store, documents):
                after, wrong = documents, []  # killed before the commit
            bench.failures += wrong
            documents = after
            if kind == "compact":
                _check_size(bench, store)
    store.close()


def _an_operation(
    kind: str, documents: Documents, draw: random.Random
) -> tuple[Callable[[KnowledgeStore], None], Documents]:
    """What is done, and the documents after it."""
    if kind == "compact" or (kind == "killed" and draw.random() < 0.2):
        return _compact, documents
    if kind == "reopen":
        return lambda store: None, documents
    ids = [f"{letter}{number}" for letter in "abcdefgh" for number in range(5)]
    if kind == "delete" or (kind == "killed" and draw.random() < 0.3):
        gone = draw.sample(ids, 2)
        return lambda store: store.remove(gone), {id: each for id, each in documents.items() if id not in gone}
    after = documents | {id: some_document(id, draw) for id in draw.sample(ids, draw.randrange(1, 4))}
    return lambda store: _write(store, after), after


def _write(store: KnowledgeStore, documents: Documents) -> None:
    bring_to(store, documents)


EMPTY_FILE_BYTES = 130_000
"""A store without a document: every table and index takes a page of 4,096 bytes."""


def _check_size(bench: Bench, store: KnowledgeStore) -> None:
    statistics = store.statistics()
    bench.check(statistics.spare_vectors == 0, "compacting left vectors without use")
    bench.check(
        statistics.file_bytes <= 3 * statistics.live_bytes + EMPTY_FILE_BYTES,
        f"{statistics.file_bytes} bytes for {statistics.live_bytes} of data after compaction",
    )
    with sqlite3.connect(store.path) as connection:
        bench.check(connection.execute("PRAGMA freelist_count").fetchone() == (0,), "empty pages were left")
    connection.close()
