"""Small folders of documents and of token shards for the tests beside this file."""

import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sartor.data.document_folder import DocumentWriter
from sartor.data.documents import documents_table
from sartor.data.token_shards.layout import DOCUMENT_ENTRY, Manifest
from sartor.data.token_shards.reader import TokenShards
from sartor.data.token_shards.work import Part
from sartor.data.token_shards.writer import ShardWriter

WORDS = ("the", "cat", "sat", "on", "mat", "and", "said", "nothing", "at", "all", "to", "dog,", "naïve", "日本語",
         "1,234", "—", "“so”\n\n", "x\t🙂", "")  # fmt: skip


def texts(count: int, seed: int = 0, longest: int = 200) -> list[str]:
    """Random texts, some of them empty or a single word."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.choice((0, 1, 5, longest)))) for _ in range(count)]


def document_folder(folder: Path, contents: Iterable[str]) -> Path:
    with DocumentWriter(folder) as writer:
        rows = [{"id": f"d{n}", "text": text, "source": "test"} for n, text in enumerate(contents)]
        writer.add(documents_table(rows))
    return folder


def shards(folder: Path, documents: list[list[int]], shard_tokens: int = 50) -> TokenShards:
    """A folder whose train split holds these ids; batches of three documents; shards as small as can be."""
    folder.mkdir()
    writer = ShardWriter(folder, {"dtype": "uint16"}, shard_tokens)
    nothing = Part(b"", np.empty((0, 2), DOCUMENT_ENTRY))
    for first in range(0, len(documents), 3):
        batch = documents[first : first + 3]
        raw = b"".join(np.array(ids, "<u2").tobytes() for ids in batch)
        entries = np.array([(len(ids), 2 * len(ids)) for ids in batch], DOCUMENT_ENTRY)
        writer.add({"train": Part(raw, entries), "held_out": nothing})
    writer.publish(Manifest("t", 1000, 0, 0, 0.0, "s", "uint16", {}))
    return TokenShards.open(folder)


def random_documents(count: int, seed: int = 0, longest: int = 40) -> list[list[int]]:
    draw = random.Random(seed)
    return [[0, *(draw.randrange(1, 1000) for _ in range(draw.randrange(longest))), 0] for _ in range(count)]


def contents(folder: Path) -> dict[str, bytes]:
    """Every visible file below the folder."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
