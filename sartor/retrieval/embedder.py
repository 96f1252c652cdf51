"""A sentence-transformers model folder (all-MiniLM-L6-v2 and its kin) as a TextEmbedder, through transformers
alone.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Encoding, Tokenizer
from transformers import AutoModel
from transformers.utils import logging

from sartor.base.console import warn
from sartor.base.device import compute_dtype
from sartor.base.device import device as default_device
from sartor.base.durable import file_sha256
from sartor.base.errors import UsageError

BATCH_TOKENS = 2048
"""Padded tokens a batch: measured on a CPU, 8 passages of 256 tokens fill it; more only leaves the cache."""


class Embedder:
    """Mean pooling over the last layer, normalised, as the model was trained.

    A text longer than `max_tokens` is cut, which is warned of; `truncated` counts such texts. The vectors are
    float32 whatever is computed in: bfloat16, the default where the machine has it, is 1.6 times as fast on a
    CPU (35 against 22 passages of 170 tokens a second on one core) with a cosine of at least .9999 to
    float32, so both may meet in one store.
    """

    def __init__(self, folder: Path, dtype: torch.dtype | None = None, device: torch.device | None = None):
        """UsageError when the folder holds no safetensors model with mean pooling."""
        self.max_tokens = _check_folder(folder)
        device = device or default_device()
        dtype = dtype or compute_dtype(device)
        logging.disable_progress_bar()
        model = AutoModel.from_pretrained(folder, dtype=dtype, local_files_only=True, use_safetensors=True)
        self._model: Any = model.eval().to(device)
        self._device = device
        self._counter = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._counter.no_truncation()
        self._counter.no_padding()
        self._tokenizer = Tokenizer.from_str(self._counter.to_str())
        self._tokenizer.enable_truncation(self.max_tokens)
        self.dimension = int(model.config.hidden_size)
        files = [file_sha256(folder / name) for name in ("model.safetensors", "tokenizer.json")]
        self.name = f"{hashlib.sha256(''.join(files).encode()).hexdigest()[:16]}-{self.max_tokens}"
        self.truncated = 0

    def count_tokens(self, text: str) -> int:
        return len(self._counter.encode(text))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        encodings = self._tokenizer.encode_batch(list(texts))
        self._report_truncated(sum(bool(encoding.overflowing) for encoding in encodings))
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for indices in length_sorted_batches([len(encoding) for encoding in encodings], BATCH_TOKENS):
            vectors[indices] = self._embed_batch([encodings[index] for index in indices])
        return vectors

    def _report_truncated(self, count: int) -> None:
        self.truncated += count
        if count:
            warn(f"{count} texts have over {self.max_tokens} tokens: only their beginnings were embedded")

    @torch.inference_mode()
    def _embed_batch(self, encodings: list[Encoding]) -> np.ndarray:
        """float32 [batch, dimension], normalised."""
        width = max(len(encoding) for encoding in encodings)
        ids = torch.full((len(encodings), width), self._model.config.pad_token_id or 0)  # [batch, width]
        mask = torch.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding)] = torch.tensor(encoding.ids)
            mask[row, : len(encoding)] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()  # [batch, width, dimension]
        summed = (hidden * mask[:, :, None]).sum(dim=1)  # the mean's divisor goes with the normalisation
        return torch.nn.functional.normalize(summed, dim=1).cpu().numpy()


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


def _check_folder(folder: Path) -> int:
    """The number of tokens the model takes; UsageError for a folder that this file would read wrongly."""
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise UsageError(
                f"not an embedding model: there is no {name}",
                where=str(folder),
                hint="name the folder of a sentence-transformers model with safetensors weights",
            )
    pooling = _read_json(folder / "1_Pooling" / "config.json")
    if not pooling.get("pooling_mode_mean_tokens", True):
        raise UsageError(
            "the embedding model does not pool by the mean of its tokens",
            where=str(folder),
            hint="all-MiniLM-L6-v2 and all-mpnet-base-v2 do",
        )
    limit = _read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    limit = limit or _read_json(folder / "config.json").get("max_position_embeddings")
    if not limit:
        raise UsageError(
            "the embedding model does not say how many tokens it takes",
            where=str(folder),
            hint="give max_seq_length in sentence_bert_config.json",
        )
    return int(limit)


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, {} where there is no such file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
