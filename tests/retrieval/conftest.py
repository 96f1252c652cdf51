"""An embedder that needs no model, and small documents."""

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sartor.data.extract import Document, make_document
from sartor.retrieval.store import KnowledgeStore


@cache
def direction(word: str, dimension: int) -> np.ndarray:
    """float32 [dimension], the same in every process."""
    return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(dimension).astype(np.float32)


class HashEmbedder:
    """Each word is a fixed direction, a text the normalised sum of its words; a token is a word."""

    def __init__(self, name: str = "hash", dimension: int = 16, max_tokens: int = 40):
        self.name, self.dimension, self.max_tokens = name, dimension, max_tokens
        self.source = "words"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in ["", *re.findall(r"\w+", text.lower())]:
                vectors[row] += direction(word, self.dimension)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self.embed(texts)

    def count_tokens(self, text: str) -> int:
        return 2 + len(text.split())


@pytest.fixture
def embedder() -> HashEmbedder:
    return HashEmbedder()


@pytest.fixture
def make_embedder() -> type[HashEmbedder]:
    return HashEmbedder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KnowledgeStore]:
    with KnowledgeStore(tmp_path / "knowledge.sqlite", create=True) as opened:
        yield opened


@pytest.fixture
def make_documents() -> Callable[..., list[Document]]:
    """`make_documents(a="text", b="text")`: documents with these ids."""
    return lambda **texts: [make_document(id, f"About {id}", text, f"{id}.txt") for id, text in texts.items()]
