"""A sentence-transformers model folder (MiniLM, mpnet, BGE, E5 and their kin) as a TextEmbedder."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from sartor.base.console import warn
from sartor.base.device import compute_dtype
from sartor.base.device import device as default_device
from sartor.base.durable import file_sha256
from sartor.base.errors import UsageError
from sartor.models.encoder import PackedEncoder, encoder_config
from sartor.models.hub import resolve
from sartor.models.padded_encoder import PaddedEncoder
from sartor.retrieval.embedding_folder import FIRST, read_embedding_folder
from sartor.retrieval.protocol import Store

BATCH_TOKENS = 2048
"""Tokens a batch: measured on a CPU, 8 passages of 256 tokens fill it; more only leaves the cache."""

DEFAULT_EMBEDDER = "minilm"


class Encoder(Protocol):
    """Token ids in, last hidden states out."""

    hidden_size: int

    def hidden(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """[sum of lengths, hidden], row after row, without padding."""
        ...


class Embedder:
    """Pools the last layer as the folder says and normalises, so that a dot product is a cosine.

    A text longer than `max_tokens` is cut, which is warned of; `truncated` counts such texts. The vectors are
    float32 whatever is computed in: bfloat16, the default where the machine has it, has a cosine of at least .9999 to
    float32, so both may meet in one store.
    """

    def __init__(
        self,
        folder: Path,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
        prompts: bool = True,
        source: str | None = None,
    ):
        """Without `prompts` texts are embedded as they are, as a server does, whose clients write prompts
        themselves. UsageError when the folder holds no model that can be used."""
        self.source = source or str(folder.absolute())
        stated = read_embedding_folder(folder)
        self.max_tokens, self._pooling, self._lower_case = stated.max_tokens, stated.pooling, stated.lower_case
        self._query_prompt = stated.query_prompt if prompts else ""
        self._document_prompt = stated.document_prompt if prompts else ""
        device = device or default_device()
        self._encoder = open_encoder(folder, dtype or compute_dtype(device), device)
        self.dimension = self._encoder.hidden_size
        self._counter = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._counter.no_truncation()
        self._counter.no_padding()
        self._tokenizer = Tokenizer.from_str(self._counter.to_str())
        self._tokenizer.enable_truncation(self.max_tokens)
        files = [file_sha256(folder / name) for name in ("model.safetensors", "tokenizer.json")]
        made_of = "".join(files) + (stated.manner if prompts else "")
        self.name = f"{hashlib.sha256(made_of.encode()).hexdigest()[:16]}-{self.max_tokens}"
        self.truncated = 0

    @staticmethod
    def open(name: str = DEFAULT_EMBEDDER) -> "Embedder":
        """`minilm`, a folder, or a Hub id that is on this machine or can be fetched."""
        folder = resolve(name)
        return Embedder(folder, source=str(folder.absolute()) if Path(name).expanduser().is_dir() else name)

    @staticmethod
    def of_store(store: Store) -> "Embedder":
        """The embedder that the store was made with, the default one for an empty store. UsageError when it is gone."""
        source = store.embedder_source or DEFAULT_EMBEDDER
        try:
            embedder = Embedder.open(source)
        except UsageError as error:
            raise UsageError(
                f"the embedding model {source}, with which this store was made, cannot be opened: {error.what}",
                where=store.location,
                hint="bring the model back, or index the documents into a new store",
            ) from error
        store.require_embedder(embedder)
        return embedder

    def count_tokens(self, text: str) -> int:
        return len(self._counter.encode(self._written(text, self._document_prompt)))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return self._embed(texts, self._document_prompt)

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self._embed(texts, self._query_prompt)

    def _embed(self, texts: Sequence[str], prompt: str) -> np.ndarray:
        encodings = self._tokenizer.encode_batch_fast([self._written(text, prompt) for text in texts])
        self._report_truncated(sum(bool(encoding.overflowing) for encoding in encodings))
        rows = [encoding.ids for encoding in encodings]
        vectors = np.zeros((len(rows), self.dimension), dtype=np.float32)
        for indices in length_sorted_batches([len(row) for row in rows], BATCH_TOKENS):
            vectors[indices] = self._embed_batch([rows[index] for index in indices])
        return vectors

    def _written(self, text: str, prompt: str) -> str:
        return (prompt + text).lower() if self._lower_case else prompt + text

    def _report_truncated(self, count: int) -> None:
        self.truncated += count
        if count:
            warn(f"{count} texts have over {self.max_tokens} tokens: only their beginnings were embedded")

    def _embed_batch(self, rows: list[list[int]]) -> np.ndarray:
        """float32 [batch, dimension], normalised."""
        texts = self._encoder.hidden(rows).split([len(row) for row in rows])  # each [tokens, dimension]
        pooled = [states[0].float() if self._pooling == FIRST else states.float().mean(dim=0) for states in texts]
        return torch.nn.functional.normalize(torch.stack(pooled), dim=1).cpu().numpy()


def open_encoder(folder: Path, dtype: torch.dtype, device: torch.device) -> Encoder:
    """Our own forward pass on a CPU for the models it computes, else transformers'."""
    config = encoder_config(folder)
    if config is not None and device.type == "cpu":
        return PackedEncoder(folder, config, dtype)
    return PaddedEncoder(folder, dtype, device)


def length_sorted_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of texts of similar length, longest first; rows x longest <= `batch_tokens`, at
    least one row.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
