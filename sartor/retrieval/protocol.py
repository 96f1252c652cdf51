"""What the rooms above need of retrieval: texts to vectors, questions to passages, and a place that keeps documents."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sartor.data.extract import Document, Scalar
from sartor.generation.protocol import Passage

if TYPE_CHECKING:
    from sartor.retrieval.fusion import Candidates, Ranking
    from sartor.retrieval.store import Prepared, StoredChunk

Where = Mapping[str, Scalar | Sequence[Scalar]]
"""A filter on metadata: every field named equals the value, or one of the values. A field that a document lacks
never matches."""


class TextEmbedder(Protocol):
    """Texts to vectors whose dot product is their likeness.

    `name` changes whenever the vectors would; `source` is what it is opened by (`minilm`, a folder, a Hub id);
    `max_tokens` is what fits into one text, special tokens included.
    """

    name: str
    source: str
    dimension: int
    max_tokens: int

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Passages: float32 [len(texts), dimension], each row of length 1."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Questions, as `embed` gives passages: some models want another beginning of the text for them."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens that `text` takes, special tokens included, nothing truncated."""
        ...


class Retriever(Protocol):
    """Questions in, passages out."""

    def retrieve(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Passage]]:
        """For each query at most `k` passages of the documents that `where` allows, the best first."""
        ...


class Store(Protocol):
    """Documents with their chunks and vectors, changed in whole transactions; usable from several threads.

    Reads see the last committed state; a write is whole and durable when it returns, or it never was.
    """

    @property
    def location(self) -> str:
        """The file or address, as a person may see it (without a password)."""
        ...

    def close(self) -> None: ...

    def reading(self) -> AbstractContextManager[None]:
        """All reads inside see one state of the store."""
        ...

    def require_embedder(self, embedder: TextEmbedder) -> None:
        """UsageError when the store was made with another embedder: their vectors cannot be compared."""
        ...

    @property
    def embedder_source(self) -> str | None:
        """What the embedder that it was made with is opened by; None for an empty store."""
        ...

    def write(self, prepared: Sequence["Prepared"], embedder: TextEmbedder) -> None:
        """Add or replace documents, all of them in one transaction."""
        ...

    def remove(self, document_ids: Sequence[str]) -> None:
        """Remove documents and all that was made of them, in one transaction; unknown ids are no error."""
        ...

    @property
    def generation(self) -> int:
        """Grows with every write."""
        ...

    @property
    def ranking(self) -> "Ranking":
        """How a search ranks unless it is told otherwise; kept with the documents."""
        ...

    def set_ranking(self, ranking: "Ranking") -> None: ...

    def fingerprints(self) -> dict[str, tuple[str, str]]:
        """For every document id its hash and how it was cut."""
        ...

    def document(self, document_id: str) -> Document | None: ...

    def count_chunks(self) -> int: ...

    def chunks(self, ids: Sequence[int]) -> dict[int, "StoredChunk"]:
        """The chunks with these ids."""
        ...

    def document_ids(self, chunk_ids: Sequence[int]) -> list[str]:
        """The document of each of these chunks."""
        ...

    def vectors_of(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """The vectors, float32 [dimension], that the store can give back for embedded texts without embedding them."""
        ...

    def candidates(
        self, queries: Sequence[str], vectors: np.ndarray, depth: int, where: Where | None = None
    ) -> list["Candidates"]:
        """For every query (and its row of `vectors`) the union of the `depth` best by full text and by vectors among
        the chunks that `where` allows, with both scores.

        The filter comes first and the ranking behind it is exact: BM25 as FTS5 computes it over the whole store, and
        all cosines.
        """
        ...

    def problems(self) -> list[str]:
        """What is wrong with the store, [] when it is sound."""
        ...
