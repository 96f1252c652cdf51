"""What every knowledge store keeps about itself beside the documents: how it ranks, and which model embedded it."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import ClassVar

from sartor.base.errors import UsageError
from sartor.retrieval.fusion import Ranking
from sartor.retrieval.protocol import TextEmbedder


class StoreFacts(ABC):
    """Facts by name, kept and read within the store's own transactions. `kind` is what a store is called in hints."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the store is, as a person may see it."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[None]: ...

    @abstractmethod
    def _writing(self) -> AbstractContextManager[None]: ...

    @abstractmethod
    def _meta(self, key: str) -> str | None: ...

    @abstractmethod
    def _set_meta(self, key: str, value: str) -> None: ...

    @property
    def generation(self) -> int:
        """Grows with every write."""
        with self.reading():
            return int(self._meta("generation") or 0)

    @property
    def ranking(self) -> Ranking:
        """How a search ranks unless it is told otherwise."""
        with self.reading():
            stored = self._meta("ranking")
        return Ranking.from_json(stored) if stored else Ranking()

    def set_ranking(self, ranking: Ranking) -> None:
        with self._writing():
            self._set_meta("ranking", ranking.to_json())

    @property
    def embedder_source(self) -> str | None:
        """What the embedder that it was made with is opened by; None for an empty store."""
        with self.reading():
            return self._meta("embedder_source")

    def require_embedder(self, embedder: TextEmbedder) -> None:
        """UsageError when the store was made with another embedder: their vectors cannot be compared."""
        with self.reading():
            stored = self._meta("embedder")
        if stored and stored != embedder.name:
            raise UsageError(
                f"this store was made with another embedding model ({stored}, not {embedder.name})",
                where=self.location,
                hint=f"use the embedding model it was made with, or index the documents into a new {self.kind}",
            )

    def _keep_embedder(self, embedder: TextEmbedder) -> None:
        """Within a write: it is the store's from now on. UsageError as `require_embedder`."""
        self.require_embedder(embedder)
        self._set_meta("embedder", embedder.name)
        self._set_meta("embedder_source", embedder.source)
        self._set_meta("dimension", str(embedder.dimension))
