"""A cross-encoder that reads question and passage together and says how well they fit (Nogueira & Cho, 1901.04085).

None comes with Sartor: it takes 20 passages' worth of computing for every question, and pays where dev questions show
that it does (`choose_ranking`). Folders of sentence-transformers' CrossEncoder with one output can be used:
ms-marco-MiniLM, bge-reranker and their kin.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from sartor.base.device import compute_dtype
from sartor.base.errors import UsageError
from sartor.generation.protocol import Passage
from sartor.models.encoder import PackedEncoder, encoder_config
from sartor.models.hub import resolve
from sartor.retrieval.embedder import BATCH_TOKENS, length_sorted_batches
from sartor.retrieval.embedding_folder import model_limit

DEPTH = 20
"""So many of the best passages are read again."""

HEADS = {
    "bert": ("bert.pooler.dense", "classifier"),
    "roberta": ("classifier.dense", "classifier.out_proj"),
    "xlm-roberta": ("classifier.dense", "classifier.out_proj"),
}
"""The two layers above the first token of each model type, a tanh between them."""


class Reranker:
    """Scores in 0..1 of passages for a question; passages longer than the model takes are cut."""

    def __init__(self, folder: Path, name: str | None = None, dtype: torch.dtype | None = None):
        """UsageError for a folder that holds no cross-encoder with one output."""
        self.name = name or str(folder.absolute())
        for file in ("config.json", "model.safetensors", "tokenizer.json"):
            if not (folder / file).is_file():
                raise _unusable(folder, f"there is no {file}")
        config = encoder_config(folder)
        if config is None or config["model_type"] not in HEADS:
            kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
            raise _unusable(folder, f"its type is {kind}; understood: {', '.join(HEADS)}")
        self._encoder = PackedEncoder(folder, config, dtype or compute_dtype(torch.device("cpu")))
        self._has_types = config["model_type"] == "bert"
        try:
            self._dense, self._out = (self._head(name) for name in HEADS[config["model_type"]])
        except KeyError as error:
            raise _unusable(folder, f"it has no weight {error}") from None
        if len(self._out[1]) != 1:
            raise _unusable(folder, f"it has {len(self._out[1])} outputs, not one")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(model_limit(folder))

    @staticmethod
    def open(name: str) -> "Reranker":
        """A folder, or a Hub id that is on this machine or can be fetched."""
        folder = resolve(name)
        return Reranker(folder, str(folder.absolute()) if Path(name).expanduser().is_dir() else name)

    @torch.inference_mode()
    def scores(self, question: str, texts: Sequence[str]) -> np.ndarray:
        """float64 [len(texts)]."""
        encodings = self._tokenizer.encode_batch_fast([(question, text) for text in texts])
        found = np.zeros(len(texts))
        for indices in length_sorted_batches([len(encoding) for encoding in encodings], BATCH_TOKENS):
            rows = [encodings[index].ids for index in indices]
            types = [encodings[index].type_ids for index in indices] if self._has_types else None
            ends = np.cumsum([len(row) for row in rows])
            first = self._encoder.hidden(rows, types)[[0, *ends[:-1].tolist()]]  # [batch, hidden]
            pooled = torch.tanh(functional.linear(first.float(), *self._dense))
            found[indices] = torch.sigmoid(functional.linear(pooled, *self._out)).squeeze(1).double().numpy()
        return found

    def rerank(self, question: str, passages: Sequence[Passage], k: int) -> list[Passage]:
        """The `k` best of the passages by their new scores; equal ones keep their order."""
        texts = [f"{passage.title}\n{passage.text}" if passage.title else passage.text for passage in passages]
        scores = self.scores(question, texts) if texts else np.zeros(0)
        order = np.argsort(-scores, kind="stable")[:k]
        return [replace(passages[index], score=float(scores[index])) for index in order]

    def _head(self, name: str) -> tuple[Tensor, Tensor]:
        weights = self._encoder.heads
        return weights[f"{name}.weight"].float(), weights[f"{name}.bias"].float()


def _unusable(folder: Path, what: str) -> UsageError:
    return UsageError(
        f"not a cross-encoder that can be used: {what}",
        where=str(folder),
        hint="name the folder or Hub id of one like cross-encoder/ms-marco-MiniLM-L6-v2 or BAAI/bge-reranker-base",
    )
