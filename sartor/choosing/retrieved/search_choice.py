"""How the task's documents are searched, chosen without asking a model.

Passages of several lengths are indexed, each into a file of its own, and rankings are measured on dev questions whose
evidence is known. Where none is known, the ways to search are left for the path to tell apart by its answers.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from sartor.base.console import format_seconds, say, warn
from sartor.base.durable import replace_json
from sartor.choosing.brief import Brief, fingerprints
from sartor.choosing.prompted.prompting import Tried
from sartor.choosing.retrieved.gold import gold_passages
from sartor.choosing.retrieved.library import (
    CHUNK_TOKENS,
    NUMBERS_OF_PASSAGES,
    Library,
    Search,
    most_tokens,
    passages_in,
)
from sartor.data.extract import read_documents
from sartor.data.records import Row
from sartor.generation.protocol import Passage
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.fusion import DEFAULT_DENSE_WEIGHT, Ranking
from sartor.retrieval.indexing import IndexReport, index_folder
from sartor.retrieval.protocol import TextEmbedder
from sartor.retrieval.ranking_choice import RankingChoice, choose_ranking, gains
from sartor.retrieval.rerank import Reranker
from sartor.retrieval.rewriting import with_key_terms
from sartor.retrieval.search import StoreRetriever
from sartor.retrieval.store import KnowledgeStore

SEARCH_FILE = "search.json"  # of a run: the search that was chosen, and all that was tried
MOST_QUESTIONS = 200  # train rows that choose the search where no dev row names its evidence
RERANKED_QUESTIONS = 60  # reading 20 passages again for each takes a second or so


def build_library(brief: Brief, folder: Path, most_seconds: float, reranker: str | None = None) -> Library:
    """Index the documents into `folder` (only what changed since last time) and choose the search.

    Another size of passages is tried where indexing them is likely to end within `most_seconds`. The choice is kept:
    documents that did not change are searched the same when a run goes on.
    """
    assert brief.task.documents is not None
    builder = _Builder(brief, folder, reranker)
    kept = builder.kept()
    if kept is not None:
        return kept
    started = time.monotonic()
    first = builder.index(CHUNK_TOKENS[0])
    index_seconds = time.monotonic() - started
    say(f"{len(builder.documents):,} documents indexed as {first.chunks:,} passages")
    if first.without_text:
        warn(f"documents without a passage, which can never be found: {', '.join(first.without_text)}")
    sizes, left_out = [CHUNK_TOKENS[0]], list[Tried]()
    for size in CHUNK_TOKENS[1:]:
        if time.monotonic() - started + index_seconds > most_seconds:
            took = format_seconds(index_seconds)
            left_out.append(Tried(f"passages of about {size} tokens: not tried, indexing takes about {took}", None))
            say(left_out[-1].setting)
            continue
        builder.index(size)
        sizes.append(size)
    return builder.keep(builder.choose(sizes, left_out), index_seconds)


@dataclass(frozen=True)
class _Measured:
    """A search on the questions: with each number of passages, whether gold was among them; [questions] each."""

    search: Search
    found: dict[int, np.ndarray]
    tried: list[Tried]

    @property
    def by_text(self) -> np.ndarray:
        """[questions]: the mean over amounts of text that are read, so that short passages are no worse for being
        many."""
        return np.mean([self.found[self.search.for_as_much_text_as(k)] for k in NUMBERS_OF_PASSAGES], axis=0)


class _Builder:
    def __init__(self, brief: Brief, folder: Path, reranker: str | None):
        assert brief.task.documents is not None
        self.folder, self.reranker = folder, reranker
        self.embedder = Embedder.open()
        self.documents = {document.id: document for document in read_documents(brief.task.documents)}
        self.content = fingerprints(brief.task)["documents"]
        named = [row for row in brief.dev if self._known(row)] or [row for row in brief.train if self._known(row)][
            :MOST_QUESTIONS
        ]
        self.rows = named[:RERANKED_QUESTIONS] if reranker else named
        self._stores: dict[int, KnowledgeStore] = {}

    def _known(self, row: Row) -> bool:
        return any(document in self.documents for document in row.evidence)

    def kept(self) -> Library | None:
        """The library as an earlier run chose it; None where there is none, or documents or settings are others."""
        file = self.folder / SEARCH_FILE
        if not file.is_file():
            return None
        kept = json.loads(file.read_text(encoding="utf-8"))
        searches = [Search(each["chunk_tokens"], Ranking(**each["ranking"])) for each in kept["searches"]]
        there = all((self.folder / search.file).is_file() for search in searches)
        if kept["documents"] != self.content or kept["reranker"] != self.reranker or not there:
            return None
        self._drop_others(searches)  # a run that was killed may have left them
        return Library(
            self.folder,
            tuple(searches),
            len(self.documents),
            kept["chunks"],
            kept["index_seconds"],
            {int(k): share for k, share in kept["recalls"].items()},
            [Tried(**each) for each in kept["tried"]],
        )

    def keep(self, chosen: tuple[list[Search], dict[int, float], list[Tried]], index_seconds: float) -> Library:
        """The chosen searches as a library, and on disk; files of passages that were not chosen go."""
        searches, recalls, tried = chosen
        chunks = self._stores[searches[0].chunk_tokens].count_chunks()
        for store in self._stores.values():
            store.close()
        facts = {
            "documents": self.content,
            "reranker": self.reranker,
            "searches": [asdict(search) for search in searches],
            "chunks": chunks,
            "index_seconds": index_seconds,
            "recalls": recalls,
            "tried": [asdict(each) for each in tried],
        }
        replace_json(self.folder / SEARCH_FILE, facts)
        self._drop_others(searches)
        return Library(self.folder, tuple(searches), len(self.documents), chunks, index_seconds, recalls, tried)

    def _drop_others(self, searches: Sequence[Search]) -> None:
        used = {search.file for search in searches}
        for other in {Search(size).file for size in CHUNK_TOKENS} - used:
            for file in self.folder.glob(f"{other}*"):
                file.unlink()

    def index(self, size: int) -> IndexReport:
        """The documents as passages of this size, in a file of their own; what other files have embedded is taken."""
        store = KnowledgeStore(self.folder / Search(size).file, create=True)
        embedder = _Remembering(self.embedder, list(self._stores.values()))
        self._stores[size] = store
        return index_folder(store, self.documents.values(), embedder, size, most_tokens=most_tokens(size))

    def choose(self, sizes: Sequence[int], tried: list[Tried]) -> tuple[list[Search], dict[int, float], list[Tried]]:
        """The searches that stay, the best first; how much the first finds with each number of passages; all tried."""
        if not self.rows:
            if self.reranker:
                warn("--rerank is not used: no dev or train row names the documents that hold its answer")
            weights = (DEFAULT_DENSE_WEIGHT, 0.0, 1.0)
            return [Search(size, Ranking.of_weight(weight)) for size in sizes for weight in weights], {}, tried
        measured = [self._measure(size) for size in sizes]
        best = measured[0]
        for other in measured[1:]:
            if gains(other.by_text - best.by_text):
                best = other
        for each in measured:
            say(f"{each.search.setting}: {_found(each)}")
            tried = [*tried, *each.tried, Tried(f"{each.search.setting}: {_found(each)}", None, each is best)]
        recalls = {k: float(each.mean()) for k, each in best.found.items() if k in best.search.numbers}
        return [best.search], recalls, tried

    def _measure(self, size: int) -> _Measured:
        """The best ranking of passages of this size, and what it finds of the gold."""
        store = self._stores[size]
        reranker = Reranker.open(self.reranker) if self.reranker else None
        questions, evidence = (
            [with_key_terms(row.messages) for row in self.rows],
            [set(row.evidence) for row in self.rows],
        )
        search = Search(size)
        choice = choose_ranking(store, self.embedder, questions, evidence, max(NUMBERS_OF_PASSAGES), reranker)
        search = replace(search, ranking=choice.ranking)
        retriever = StoreRetriever(store, self.embedder, choice.ranking.dense_weight, choice.ranking.rerank)
        return _Measured(search, self.found(retriever, search), _rankings_tried(size, choice))

    def found(self, retriever: StoreRetriever, search: Search) -> dict[int, np.ndarray]:
        most = max(search.numbers)
        cuts: dict[str, list[Passage]] = {}

        def passages_of(document_id: str) -> list[Passage]:
            if document_id not in cuts:
                document = self.documents.get(document_id)
                cuts[document_id] = passages_in(document, self.embedder, search.chunk_tokens) if document else []
            return cuts[document_id]

        gold = [{passage.chunk_id for passage in gold_passages(row, passages_of)} for row in self.rows]
        questions = [with_key_terms(row.messages) for row in self.rows]
        return found_within(retriever.retrieve(questions, most), gold, search.numbers)


def found_within(
    found: Sequence[Sequence[Passage]], gold: Sequence[set[str]], numbers: Sequence[int]
) -> dict[int, np.ndarray]:
    """For each number k whether a passage of `gold` (chunk ids) is among the first k found: float64 [questions]."""
    places = [
        next((place for place, passage in enumerate(passages) if passage.chunk_id in wanted), np.inf)
        for passages, wanted in zip(found, gold, strict=True)
    ]
    return {k: (np.array(places) < k).astype(np.float64) for k in numbers}


def _found(measured: _Measured) -> str:
    shares = ", ".join(f"{each.mean():.0%} with {k}" for k, each in measured.found.items())
    return f"passages that hold the answer are found for {shares} of them"


def _rankings_tried(size: int, choice: RankingChoice) -> list[Tried]:
    return [
        Tried(f"search in passages of about {size} tokens, {name}", (at_k + rank) / 2)
        for name, (at_k, rank) in choice.tried.items()
    ]


class _Remembering:
    """An embedder that looks into stores first for what they have of a text."""

    def __init__(self, embedder: TextEmbedder, stores: Sequence[KnowledgeStore]):
        self._embedder, self._stores = embedder, stores
        self.name, self.source = embedder.name, embedder.source
        self.dimension, self.max_tokens = embedder.dimension, embedder.max_tokens
        self.embed_queries: Callable[[Sequence[str]], np.ndarray] = embedder.embed_queries
        self.count_tokens: Callable[[str], int] = embedder.count_tokens

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        known = {text: vector for store in self._stores for text, vector in store.vectors_of(texts).items()}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known |= dict(zip(new, self._embedder.embed(new), strict=True))
        return np.stack([known[text] for text in texts])
