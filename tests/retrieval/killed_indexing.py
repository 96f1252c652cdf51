"""Run by test_killed_indexing: brings a store up to date and kills itself after some of SQLite's own steps.

Arguments: the store file, a JSON file with {id: text}, a log of what was committed, the step to die at
(0: none, and print how many steps there were).
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import HashEmbedder

from sartor.data.extract import make_document
from sartor.retrieval import indexing
from sartor.retrieval.store import KnowledgeStore


def main(file: str, documents: str, log: str, die_at: int) -> None:
    indexing.CHUNKS_A_TRANSACTION = 3
    store = KnowledgeStore(Path(file), create=True)
    store._connection.execute("PRAGMA cache_size = 4")  # pages: so that the file is touched before the commit
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        if steps == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def logged(
        method: Callable[..., None], ids_of: Callable[[Any], list[str]], kind: str
    ) -> Callable[..., None]:
        def call(items: Any, *rest: Any) -> None:
            with open(log, "a") as stream:
                stream.write(json.dumps(["begin", kind, ids_of(items)]) + "\n")
            method(items, *rest)
            with open(log, "a") as stream:
                stream.write(json.dumps(["done", kind, ids_of(items)]) + "\n")

        return call

    store.write = logged(store.write, lambda items: [item.document.id for item in items], "write")
    store.remove = logged(store.remove, list, "remove")
    store._connection.set_progress_handler(step, 10)
    texts = json.loads(Path(documents).read_text())
    indexing.index_folder(
        store, [make_document(id, f"About {id}", text) for id, text in texts.items()], HashEmbedder()
    )
    print(steps)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
