"""What the rooms above need of retrieval: texts to vectors, and questions to passages."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sartor.generation.protocol import Passage


class TextEmbedder(Protocol):
    """Texts to vectors whose dot product is their likeness.

    `name` changes whenever the vectors would; `max_tokens` is what fits into one text, special tokens
    included.
    """

    name: str
    dimension: int
    max_tokens: int

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [len(texts), dimension], each row of length 1."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens that `text` takes, special tokens included, nothing truncated."""
        ...


class Retriever(Protocol):
    """Questions in, passages out."""

    def retrieve(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """For each query at most `k` passages, the best first."""
        ...
