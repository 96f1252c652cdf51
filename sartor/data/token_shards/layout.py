"""How a folder of token shards lies on disk, and its manifest.

DIR/tokens.json                 the manifest, written last
DIR/train/00000.tokens          ids of all documents one after the other, little-endian uint16 (uint32 where the
                                vocabulary needs it); each document is [bos] + its ids + [eos]
DIR/train/00000.documents       int64 pairs, one a document: where it ends in the shard's tokens, bytes of its text
DIR/held_out/...                the same for documents that are never trained on
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sartor.base.durable import replace_file
from sartor.base.errors import DataError

MANIFEST = "tokens.json"
FORMAT = 1
TRAIN, HELD_OUT = "train", "held_out"
SPLITS = (TRAIN, HELD_OUT)
DTYPES: "dict[str, np.dtype[Any]]" = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}
DOCUMENT_ENTRY = np.dtype("<i8")  # two of them a document
MAKE_AGAIN = "make the token shards again"


@dataclass(frozen=True)
class Shard:
    """One pair of files `name`.tokens and `name`.documents."""

    name: str
    tokens: int
    documents: int
    text_bytes: int
    tokens_sha256: str
    documents_sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a finished folder holds. `tokenizer` is the fingerprint of the tokenizer (`encoding.fingerprint`)."""

    tokenizer: str
    vocabulary: int  # ids are below it
    bos: int
    eos: int
    held_out_share: float
    source: str  # fingerprint of the documents
    dtype: str
    splits: Mapping[str, tuple[Shard, ...]]

    @property
    def numpy_dtype(self) -> "np.dtype[Any]":
        return DTYPES[self.dtype]


def dtype_for(vocabulary: int) -> str:
    """The smallest type of ids below `vocabulary`."""
    return "uint16" if vocabulary <= 2**16 else "uint32"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Publish the folder: from now on it is complete."""
    replace_file(folder / MANIFEST, _serialise(asdict(manifest) | {"format": FORMAT}))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished folder. DataError if there is none or it was changed."""
    path = folder / MANIFEST
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        hint = "token shards are made with `sartor pretrain`; were they written to the end?"
        raise DataError(f"holds no token shards: {MANIFEST} is missing", where=str(folder), hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not text"
        raise DataError(f"cannot be read: {reason}", where=str(path), hint=MAKE_AGAIN) from None
    try:
        values: dict[str, Any] = json.loads(text)
        del values["sha256"]
        if text != _serialise(values):
            raise DataError("was changed after it was written", where=str(path), hint=MAKE_AGAIN)
        if values.pop("format") != FORMAT:
            raise DataError("was written by another version of Sartor", where=str(path), hint=MAKE_AGAIN)
        shards = {name: tuple(Shard(**each) for each in found) for name, found in values.pop("splits").items()}
        manifest = Manifest(**values, splits=shards)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError("is not a readable manifest", where=str(path), hint=MAKE_AGAIN) from None
    return manifest


def _serialise(values: Mapping[str, Any]) -> str:
    body = json.dumps(values, sort_keys=True)
    return json.dumps({**values, "sha256": hashlib.sha256(body.encode()).hexdigest()}, indent=2, sort_keys=True) + "\n"
