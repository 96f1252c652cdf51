"""A run killed with SIGKILL leaves exactly the documents it had committed; the next run finishes it."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sartor
from sartor.data.extract import make_document
from sartor.retrieval.chunking import TARGET_TOKENS, chunk_text
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.store import KnowledgeStore

CHILD = Path(__file__).with_name("killed_indexing.py")
NUM_KILLS = 6


def make_texts(seed: int, ids: list[str]) -> dict[str, str]:
    generator = random.Random(seed)
    return {
        id: f"{id} v{seed}. "
        + " ".join(generator.choice(["ship", "sea", "sail.", "Wind"]) for _ in range(150))
        for id in ids
    }


def run_child(
    store: Path, texts: dict[str, str], folder: Path, die_at: int
) -> subprocess.CompletedProcess[str]:
    (folder / "texts.json").write_text(json.dumps(texts))
    environment = {**os.environ, "PYTHONPATH": str(Path(sartor.__file__).parents[1])}
    command = [
        sys.executable,
        str(CHILD),
        str(store),
        str(folder / "texts.json"),
        str(folder / "log"),
        str(die_at),
    ]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def finish(path: Path, texts: dict[str, str], embedder) -> None:
    with KnowledgeStore(path, create=True) as store:
        index_folder(store, [make_document(id, f"About {id}", text) for id, text in texts.items()], embedder)


def possible_states(old: dict[str, str], new: dict[str, str], log: Path) -> list[dict[str, str]]:
    """What may be in the store: all that was reported done, with or without what had begun last."""
    states = [dict(old)]
    for event, kind, ids in map(json.loads, log.read_text().splitlines() if log.exists() else []):
        after = dict(states[0])
        for id in ids:
            if kind == "remove":
                del after[id]
            else:
                after[id] = new[id]
        states = [states[0], after] if event == "begin" else [after]
    return states


def contents(path: Path, embedder) -> dict[str, str]:
    """The store's documents, after comparing all that was derived from them with what should have been."""
    with KnowledgeStore(path, create=True) as store:
        assert store.problems() == []
        documents = {id: store.document(id) for id in store.fingerprints()}
        ids, vectors = store.matrix()
        chunks = store.chunks(ids.tolist())
    expected = {}
    for id, document in documents.items():
        assert document == make_document(id, f"About {id}", document.text)
        cut = chunk_text(
            document.text, document.title, embedder.count_tokens, TARGET_TOKENS, embedder.max_tokens
        )
        expected |= {(id, position): chunk for position, chunk in enumerate(cut)}
    found = {(chunk.document_id, chunk.position): chunk for chunk in chunks.values()}
    assert found.keys() == expected.keys()
    for key, chunk in found.items():
        wanted = expected[key]
        assert (chunk.start, chunk.end, chunk.title, chunk.text) == (
            wanted.start, wanted.end, wanted.title, wanted.text,
        )  # fmt: skip
    if len(ids):
        embedded = [expected[chunks[id].document_id, chunks[id].position].embedded for id in ids.tolist()]
        assert (vectors == embedder.embed(embedded).astype(np.float16)).all()
    return {id: document.text for id, document in documents.items()}


@pytest.fixture
def worlds(tmp_path, embedder):
    """A store with the old documents, the old texts, and the new ones: changed, gone, new and the same."""
    old = make_texts(1, ["changed-1", "changed-2", "gone-1", "gone-2", "same-1"])
    new = make_texts(2, ["changed-1", "changed-2", "new-1", "new-2", "new-3", "new-4"]) | {
        "same-1": old["same-1"]
    }
    path = tmp_path / "before.sqlite"
    finish(path, old, embedder)
    return path, old, new


def test_sigkill_leaves_the_committed_documents(worlds, tmp_path, embedder):
    before, old, new = worlds
    shutil.copy(before, tmp_path / "whole.sqlite")
    whole = run_child(tmp_path / "whole.sqlite", new, tmp_path, 0)
    assert whole.returncode == 0, whole.stderr
    assert contents(tmp_path / "whole.sqlite", embedder) == new
    steps = int(whole.stdout)
    outcomes = set()
    for kill in range(NUM_KILLS):
        store = tmp_path / f"killed-{kill}.sqlite"
        shutil.copy(before, store)
        (tmp_path / "log").unlink(missing_ok=True)
        die_at = max(1, steps * (2 * kill + 1) // (2 * NUM_KILLS))
        assert run_child(store, new, tmp_path, die_at).returncode == -signal.SIGKILL
        states = possible_states(old, new, tmp_path / "log")
        left = contents(store, embedder)
        assert left in states
        outcomes.add(json.dumps(left, sort_keys=True))
        finish(store, new, embedder)
        assert contents(store, embedder) == new
    assert len(outcomes) > 2  # the kills fell into different transactions


def test_a_kill_at_every_statement(worlds, tmp_path, embedder):
    """As the one above, quicker: the files as they are at each statement are what a kill would leave."""
    before, old, new = worlds
    path = tmp_path / "live.sqlite"
    shutil.copy(before, path)
    states: list[dict[str, str]] = [dict(old)]
    snapshots: list[tuple[Path, int]] = []

    def snapshot(statement: str) -> None:
        copy = tmp_path / f"snapshot-{len(snapshots)}.sqlite"
        for suffix in ("", "-journal", "-wal"):
            if Path(f"{path}{suffix}").exists():
                shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
        snapshots.append((copy, len(states)))

    with KnowledgeStore(path) as store:
        store._connection.execute("PRAGMA cache_size = 4")
        store._connection.set_trace_callback(snapshot)
        for id in sorted(new.keys() - old.keys() | {"changed-1"}):
            index_folder(
                store,
                [make_document(i, f"About {i}", t) for i, t in (states[-1] | {id: new[id]}).items()],
                embedder,
            )
            states.append(states[-1] | {id: new[id]})
        store.remove(["gone-1", "same-1"])
        states.append({id: text for id, text in states[-1].items() if id not in ("gone-1", "same-1")})
        store._connection.set_trace_callback(None)
    assert len(snapshots) > 60
    for copy, committed in snapshots:
        assert contents(copy, embedder) in states[committed - 1 : committed + 1]
