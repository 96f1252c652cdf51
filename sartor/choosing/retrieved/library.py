"""The task's documents, searchable, and the ways in which they can be searched."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from sartor.choosing.prompted.prompting import Tried
from sartor.data.extract import Document
from sartor.generation.protocol import Passage
from sartor.retrieval.chunking import MAX_TOKENS, TARGET_TOKENS
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.fusion import Ranking
from sartor.retrieval.indexing import cut
from sartor.retrieval.path import Knowledge
from sartor.retrieval.protocol import TextEmbedder
from sartor.retrieval.search import StoreRetriever
from sartor.retrieval.store import KnowledgeStore

KNOWLEDGE_FILE = "knowledge.sqlite"  # of a run
CHUNK_TOKENS = (TARGET_TOKENS, TARGET_TOKENS // 2)  # sizes of passages that are tried; the first is the usual one
NUMBERS_OF_PASSAGES = (1, 2, 3, 5)  # of the usual size; of smaller ones as many as make up the same text
ENOUGH_RECALL = 0.03  # fewer passages are taken when they find this close to what the most find


@dataclass(frozen=True)
class Search:
    """One way to find passages: of about so many tokens, ranked like this."""

    chunk_tokens: int = TARGET_TOKENS
    ranking: Ranking = field(default_factory=Ranking)

    @property
    def file(self) -> str:
        """The knowledge file, in the run's folder."""
        usual = self.chunk_tokens == TARGET_TOKENS
        return KNOWLEDGE_FILE if usual else KNOWLEDGE_FILE.replace(".", f"-{self.chunk_tokens}.")

    @property
    def setting(self) -> str:
        ranked = {"bm25": "words alone", "dense": "meaning alone"}.get(
            self.ranking.mode, f"weight {self.ranking.dense_weight:g} on meaning, the rest on words"
        )
        again = f", read again by {self.ranking.rerank}" if self.ranking.rerank else ""
        return f"passages of about {self.chunk_tokens} tokens, {ranked}{again}"

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of passages worth trying: one, and those that are as much text as NUMBERS_OF_PASSAGES are."""
        return tuple(sorted({1, *(self.for_as_much_text_as(number) for number in NUMBERS_OF_PASSAGES)}))

    def for_as_much_text_as(self, passages: int) -> int:
        """So many passages are as much to read as `passages` of the usual size."""
        return passages * TARGET_TOKENS // self.chunk_tokens

    def knowledge(self, passages: int, best_last: bool = False) -> Knowledge:
        """As the configuration of a path (a folder below the run's `paths`) names it."""
        return Knowledge(
            file=f"../../{self.file}",
            passages=passages,
            dense_weight=self.ranking.dense_weight,
            rerank=self.ranking.rerank,
            best_last=best_last,
        )

    @staticmethod
    def of(knowledge: Knowledge) -> "Search":
        """The search that `knowledge` came from."""
        assert knowledge.dense_weight is not None
        ranking = replace(Ranking.of_weight(knowledge.dense_weight), rerank=knowledge.rerank)
        file = Path(knowledge.file).name
        return next(Search(size, ranking) for size in CHUNK_TOKENS if Search(size, ranking).file == file)


@dataclass(frozen=True)
class Library:
    """The documents, searchable in each of `searches`. The first is how they are searched unless answers on dev rows
    say otherwise, and the only one where dev questions could choose it."""

    folder: Path
    searches: tuple[Search, ...]
    documents: int
    chunks: int  # of the first search
    index_seconds: float  # to read, cut and embed what was not in the file before
    recalls: dict[int, float]  # share of questions with gold among the first k passages; empty if unknown
    tried: list[Tried] = field(default_factory=list)

    @property
    def search(self) -> Search:
        return self.searches[0]

    @property
    def retriever(self) -> StoreRetriever:
        return self.retriever_of(self.search)

    def retriever_of(self, search: Search) -> StoreRetriever:
        """The same object each time, since it keeps what it has read of the file."""
        if search not in self._retrievers:
            store = KnowledgeStore(self.folder / search.file)
            ranking = search.ranking
            self._retrievers[search] = StoreRetriever(store, self.embedder, ranking.dense_weight, ranking.rerank)
        return self._retrievers[search]

    @cached_property
    def _retrievers(self) -> dict[Search, StoreRetriever]:
        return {}

    @cached_property
    def embedder(self) -> Embedder:
        return Embedder.open()

    def passages_of(self, document_id: str, search: Search) -> list[Passage]:
        """All passages of a document, in its order."""
        with KnowledgeStore(self.folder / search.file) as store:
            document = store.document(document_id)
        return [] if document is None else passages_in(document, self.embedder, search.chunk_tokens)

    @property
    def enough_passages(self) -> int:
        """The fewest passages that find nearly as much as the most do; 3 where evidence is not known."""
        if not self.recalls:
            return self.search.for_as_much_text_as(3)
        best = max(self.recalls.values())
        return next(k for k in sorted(self.recalls) if self.recalls[k] >= best - ENOUGH_RECALL)


def most_tokens(size: int) -> int:
    """How long a passage of this size may be, in the usual size's proportion."""
    return size * MAX_TOKENS // TARGET_TOKENS


def passages_in(document: Document, embedder: TextEmbedder, size: int) -> list[Passage]:
    """The passages of a document when they are to have about `size` tokens, as a store holds them."""
    return [
        Passage(f"{document.id}#{place}", document.id, chunk.text, 1.0, chunk.start, chunk.end, chunk.title)
        for place, chunk in enumerate(cut(document, embedder, size, most_tokens(size)))
    ]
