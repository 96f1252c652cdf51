"""Token shards, memory-mapped: nothing is read before it is asked for."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sartor.base.durable import file_sha256
from sartor.base.errors import DataError
from sartor.data.token_shards.layout import DOCUMENT_ENTRY, MAKE_AGAIN, Manifest, Shard, read_manifest

Tokens = np.ndarray[Any, np.dtype[Any]]


class TokenSplit:
    """The documents of one split, from 0 on, over all of its shards in order."""

    def __init__(self, name: str, folder: Path, shards: Sequence[Shard], dtype: "np.dtype[Any]"):
        self.name, self.folder, self.shards = name, folder, tuple(shards)
        self.num_tokens = sum(shard.tokens for shard in shards)
        self.num_documents = sum(shard.documents for shard in shards)
        self.num_bytes = sum(shard.text_bytes for shard in shards)
        self._tokens = [_mapped(folder / f"{shard.name}.tokens", dtype, shard.tokens) for shard in shards]
        self._documents = [
            _mapped(folder / f"{shard.name}.documents", DOCUMENT_ENTRY, 2 * shard.documents).reshape(-1, 2)
            for shard in shards
        ]
        self._first_documents = np.cumsum([0, *(shard.documents for shard in shards)])

    @cached_property
    def lengths(self) -> Tokens:
        """Tokens of every document, [documents] int64."""
        return _joined([np.diff(entries[:, 0], prepend=0) for entries in self._documents])

    @cached_property
    def text_bytes(self) -> Tokens:
        """Bytes of the text of every document, [documents] int64; they sum to `num_bytes`."""
        return _joined([np.asarray(entries[:, 1]) for entries in self._documents])

    def document(self, index: int) -> Tokens:
        """Ids of a document with its bos and eos, [tokens], as they are stored (a view of the file)."""
        if not 0 <= index < self.num_documents:
            raise IndexError(f"document {index} of {self.num_documents}")
        shard = int(np.searchsorted(self._first_documents, index, side="right")) - 1
        ends, place = self._documents[shard][:, 0], index - int(self._first_documents[shard])
        return self._tokens[shard][int(ends[place - 1]) if place else 0 : int(ends[place])]


class TokenShards:
    """A finished folder of token shards; `split("train")` and `split("held_out")` are its two parts."""

    def __init__(self, folder: Path, manifest: Manifest):
        self.folder, self.manifest = folder, manifest
        self._splits = {
            name: TokenSplit(name, folder / name, shards, manifest.numpy_dtype)
            for name, shards in manifest.splits.items()
        }

    @classmethod
    def open(cls, folder: Path, verify: bool = False) -> "TokenShards":
        """The shards in `folder`. DataError if it is not complete, or a file has another size than was written; with
        `verify` every byte is checked as well (`verify()`)."""
        shards = cls(Path(folder), read_manifest(Path(folder)))
        if verify:
            shards.verify()
        return shards

    def split(self, name: str) -> TokenSplit:
        return self._splits[name]

    def verify(self) -> None:
        """DataError naming the first file whose SHA-256 is not the one that was written."""
        for split in self._splits.values():
            for shard in split.shards:
                for end, expected in (("tokens", shard.tokens_sha256), ("documents", shard.documents_sha256)):
                    path = split.folder / f"{shard.name}.{end}"
                    if file_sha256(path) != expected:
                        raise DataError("is damaged (SHA-256 differs)", where=str(path), hint=MAKE_AGAIN)


def _mapped(path: Path, dtype: "np.dtype[Any]", count: int) -> Tokens:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), hint=MAKE_AGAIN) from None
    if found != count * dtype.itemsize:
        what = f"is damaged: {found:,} bytes instead of {count * dtype.itemsize:,}"
        raise DataError(what, where=str(path), hint=MAKE_AGAIN)
    if count == 0:
        return np.empty(0, dtype)  # an empty file cannot be mapped
    return np.memmap(path, dtype, mode="r", shape=(count,))


def _joined(parts: list[Tokens]) -> Tokens:
    return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)
