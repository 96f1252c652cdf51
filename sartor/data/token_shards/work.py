"""What a worker process does: documents in, ids of both splits out."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import parent_process
from typing import Any

import numpy as np

from sartor.data.token_shards.encoding import TextEncoder
from sartor.data.token_shards.layout import DOCUMENT_ENTRY, DTYPES, HELD_OUT, SPLITS
from sartor.data.token_shards.source import is_held_out


@dataclass(frozen=True)
class Job:
    """How documents are turned into ids; the same for every worker."""

    tokenizer: str  # the text of a tokenizer.json
    dtype: str
    bos: int
    eos: int
    held_out_share: float


@dataclass(frozen=True)
class Part:
    """Documents of one split: ids with bos and eos as bytes; for each `(tokens, bytes of text)`, [documents, 2]."""

    tokens: bytes
    documents: "np.ndarray[Any, np.dtype[np.int64]]"


class Worker:
    """Turns tables of documents into parts; keeps what it has learnt about words."""

    def __init__(self, job: Job):
        self.job, self.dtype = job, DTYPES[job.dtype]
        self.encoder = TextEncoder(job.tokenizer, self.dtype)
        self._bos, self._eos = (np.array([token], self.dtype).tobytes() for token in (job.bos, job.eos))

    def parts(self, ids: Sequence[str], texts: Sequence[str]) -> dict[str, Part]:
        """The documents of each split, in order."""
        encoded = self.encoder.encode(texts)
        sizes = [len(text.encode()) for text in texts]
        held_out = [is_held_out(name, self.job.held_out_share) for name in ids]
        return {
            split: self._part(
                [place for place, out in enumerate(held_out) if out == (split == HELD_OUT)], encoded, sizes
            )
            for split in SPLITS
        }

    def _part(self, places: Sequence[int], encoded: Sequence[bytes], sizes: Sequence[int]) -> Part:
        wrapped = [self._bos + encoded[place] + self._eos for place in places]
        documents = [
            (len(raw) // self.dtype.itemsize, sizes[place]) for raw, place in zip(wrapped, places, strict=True)
        ]
        return Part(b"".join(wrapped), np.array(documents, DOCUMENT_ENTRY).reshape(-1, 2))


_worker: Worker | None = None


def start_worker(job: Job) -> None:
    """Called once in each process of a pool. The process ends when the one that started it is killed."""
    global _worker
    _worker = Worker(job)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def parts_of(ids: Sequence[str], texts: Sequence[str]) -> dict[str, Part]:
    """`Worker.parts` of this process's worker."""
    assert _worker is not None
    return _worker.parts(ids, texts)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
