"""A knowledge store of many chunks: time to index (embedding apart), size, memory, and how long questions take.

`python -m benchmarks.knowledge_store --chunks 100000`. Texts are drawn word by word from the vocabulary of real
documents (`--words FOLDER`) by a Zipf law, so that common words are as common as in English; vectors are random ones of
384 numbers, because an exact search takes the same time for any. `--embedder FOLDER` adds the time in which a real
model embeds the questions.

Questions are new ones in a session: of most of them some word was asked for before, as common words are, and the store
has it in memory. `cold` are the same questions where no word is (the words are thrown away between them). The search is
measured in a process of its own, so that its memory is what opening the store and all these questions added.
"""

import argparse
import json
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.finetune_vs_trl import last_line
from sartor.data.extract import make_document
from sartor.retrieval import snapshot
from sartor.retrieval.chunking import Chunk
from sartor.retrieval.protocol import Where
from sartor.retrieval.query import STOP_WORDS
from sartor.retrieval.search import search
from sartor.retrieval.store import KnowledgeStore, Prepared

DIMENSION = 384
CHUNKS_A_DOCUMENT = 10
WORDS_A_CHUNK = 140
FOLDERS = 20
UNKNOWN_WORD = "zyxwvutsrq"  # in no chunk
FILLING, SEARCHING = 0, 1  # seeds: questions are not drawn as texts were


class RandomEmbedder:
    """A random direction for every text: the store's own work and nothing else is measured."""

    name, source, dimension, max_tokens = "random", "random", DIMENSION, 256

    def __init__(self, seed: int) -> None:
        self._draw = np.random.default_rng(seed)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        vectors = self._draw.standard_normal((len(texts), DIMENSION), dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self.embed(texts)

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def vocabulary(folder: Path | None) -> list[str]:
    """The words of the files in a folder, the commonest first; made-up ones without a folder."""
    if folder is None:
        return [f"word{number}" for number in range(30_000)]
    counts: Counter[str] = Counter()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            counts.update(re.findall(r"[a-z]+", file.read_text(encoding="utf-8", errors="ignore").lower()))
    return [word for word, _ in counts.most_common(50_000)]


class Texts:
    """Draws texts and questions; a question has words that people ask for, and half of them are common ones."""

    def __init__(self, words: list[str], seed: int):
        self._draw = np.random.default_rng(seed)
        self._words = np.array(words)
        weights = 1 / (np.arange(len(words)) + 2.7)
        self._sums = np.cumsum(weights / weights.sum())

    def text(self) -> str:
        return " ".join(self._words[np.searchsorted(self._sums, self._draw.random(WORDS_A_CHUNK))])

    def question(self) -> str:
        words: list[str] = []
        while len(words) < 6:
            word = str(self._words[np.searchsorted(self._sums, self._draw.random())])
            words += [] if word in STOP_WORDS else [word]
        return " ".join(["what", "is", "the", *words])


def fill(store: KnowledgeStore, texts: Texts, chunks: int, embedder: RandomEmbedder) -> float:
    """Seconds of writing, without drawing the texts."""
    seconds = 0.0
    for first in range(0, chunks // CHUNKS_A_DOCUMENT, 7):  # 70 chunks a transaction, as indexing does
        batch = []
        for number in range(first, min(first + 7, chunks // CHUNKS_A_DOCUMENT)):
            parts = [texts.text() for _ in range(CHUNKS_A_DOCUMENT)]
            starts = np.cumsum([0, *(len(part) + 1 for part in parts)]).tolist()
            cut = [Chunk(start, start + len(part), part, "Title") for start, part in zip(starts, parts, strict=False)]
            metadata = {"folder": f"f{number % FOLDERS}"}
            document = make_document(f"d{number}", "Title", " ".join(parts), f"d{number}.txt", metadata)
            batch.append(Prepared(document, cut, embedder.embed(parts), "1"))
        started = time.perf_counter()
        store.write(batch, embedder)
        seconds += time.perf_counter() - started
    return seconds


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def percentiles(
    work: Callable[[str], object], questions: Sequence[str], between: Callable[[], object] | None = None
) -> dict[str, float]:
    """How long each question takes; what is done `between` them is not timed."""
    milliseconds = []
    for question in questions:
        if between is not None:
            between()
        milliseconds.append(timed(partial(work, question)))
    return {f"p{share}_ms": round(float(np.percentile(milliseconds, share)), 1) for share in (50, 95)}


def memory_bytes() -> int:
    """Resident now, on Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def make(file: Path, chunks: int, words: list[str]) -> dict[str, Any]:
    with KnowledgeStore(file, create=True) as store:
        seconds = fill(store, Texts(words, FILLING), chunks, RandomEmbedder(FILLING))
        return {
            "chunks": store.count_chunks(),
            "write_seconds": round(seconds, 1),
            "chunks_a_second": round(chunks / seconds),
        }


def ask_all(file: Path, questions: int, words: list[str]) -> dict[str, Any]:
    """What questions, and then changes, take in a store that another process has filled."""
    texts, embedder = Texts(words, SEARCHING), RandomEmbedder(SEARCHING)
    asked = [texts.question() for _ in range(questions)]
    found: dict[str, Any] = {}
    before = memory_bytes()
    with KnowledgeStore(file) as store:

        def ask(question: str, where: Where | None = None) -> None:
            search(store, embedder, [question], 5, where=where)

        found["first_question_ms"] = round(timed(lambda: ask(asked[0])))
        found["new_questions_in_a_session"] = percentiles(ask, asked)
        found["same_questions"] = percentiles(ask, asked)
        found["filtered"] = percentiles(partial(ask, where={"folder": "f3"}), asked)
        found["memory_bytes_of_search"] = memory_bytes() - before
        with mock.patch.object(snapshot, "WORD_BYTES", 0):  # only the word asked for last is kept
            found["new_questions_cold"] = percentiles(ask, asked, between=lambda: ask(UNKNOWN_WORD))
        found["change_one_document_ms"] = round(timed(lambda: fill(store, texts, CHUNKS_A_DOCUMENT, embedder)))
        found["first_question_after_a_change_ms"] = round(timed(lambda: ask(asked[0])))
        found["delete_one_document_ms"] = round(timed(lambda: store.remove(["d1"])))
        found["compact_ms"] = round(timed(store.compact))
        statistics = store.statistics()
        found |= {"file_bytes": statistics.file_bytes, "live_bytes": statistics.live_bytes}
        found["file_to_live"] = round(statistics.file_bytes / statistics.live_bytes, 2)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=5_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--words", type=Path, help="folder of text files whose words are used")
    parser.add_argument("--embedder", type=Path, help="folder of an embedding model")
    parser.add_argument("--ask", type=Path, metavar="FILE", help="only ask, in a store that is filled already")
    options = parser.parse_args()
    words = vocabulary(options.words)
    if options.ask:
        print(json.dumps(ask_all(options.ask, options.questions, words)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "k.sqlite"
        found = make(file, options.chunks, words)
        command = [sys.executable, "-m", "benchmarks.knowledge_store", "--ask", str(file)]
        command += ["--questions", str(options.questions)]
        found |= last_line(command + (["--words", str(options.words)] if options.words else []))
    if options.embedder:
        from sartor.retrieval.embedder import Embedder

        embedder, texts = Embedder(options.embedder), Texts(words, SEARCHING)
        embedder.embed_queries([texts.question()])
        asked = [texts.question() for _ in range(50)]
        found["embedding_a_question"] = percentiles(lambda question: embedder.embed_queries([question]), asked)
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
