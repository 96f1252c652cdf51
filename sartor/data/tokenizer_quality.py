"""How good a tokenizer is for given texts: bytes per token, and which of its tokens are of no use."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from sartor.data.token_shards.encoding import TextEncoder, backend_settings
from sartor.data.token_shards.layout import DTYPES

NUM_LONGEST = 12
Counts = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Compression:
    """`tokens` are without those that begin and end a text."""

    name: str
    vocabulary: int
    text_bytes: int
    tokens: int

    @property
    def bytes_per_token(self) -> float:
        return self.text_bytes / self.tokens


@dataclass(frozen=True)
class Usage:
    """How often each id occurs in some texts, [vocabulary], and whether all of them came back from their ids."""

    counts: Counts
    text_bytes: int
    texts: int
    not_restored: int

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.counts + other.counts,
            self.text_bytes + other.text_bytes,
            self.texts + other.texts,
            self.not_restored + other.not_restored,
        )


def usage(settings: str, texts: Iterable[Sequence[str]]) -> Usage:
    """Encode and decode batches of texts with the tokenizer of which `settings` is the tokenizer.json."""
    encoder, decoder = TextEncoder(settings, DTYPES["uint32"]), Tokenizer.from_str(settings)
    total = Usage(np.zeros(_rows(decoder), np.int64), 0, 0, 0)
    for batch in texts:
        ids = [np.frombuffer(raw, DTYPES["uint32"]) for raw in encoder.encode(batch)]
        restored = decoder.decode_batch([each.tolist() for each in ids], skip_special_tokens=False)
        wrong = sum(after != before for after, before in zip(restored, batch, strict=True))
        counts = np.bincount(np.concatenate(ids), minlength=len(total.counts)) if ids else total.counts * 0
        total += Usage(counts, sum(len(text.encode()) for text in batch), len(batch), wrong)
    return total


def compression(name: str, tokenizer: Any, texts: Iterable[Sequence[str]]) -> Compression:
    """Of a tokenizer of transformers on batches of texts."""
    encoder = TextEncoder(backend_settings(tokenizer), DTYPES["uint32"])
    tokens = text_bytes = 0
    for batch in texts:
        tokens += sum(map(len, encoder.encode(batch))) // DTYPES["uint32"].itemsize
        text_bytes += sum(len(text.encode()) for text in batch)
    return Compression(name, len(tokenizer), text_bytes, tokens)


def merged_tokens(tokenizer: Tokenizer) -> dict[int, str]:
    """The tokens that BPE made by merging: neither control tokens nor single bytes. Each character is a byte."""
    controls = tokenizer.get_added_tokens_decoder()
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    return {index: token for token, index in vocabulary.items() if index not in controls and len(token) > 1}


def unused_tokens(tokenizer: Tokenizer, counts: Counts) -> list[int]:
    """Merged tokens that occur nowhere: steps on the way to longer ones, which nothing but those is made of."""
    return sorted(index for index in merged_tokens(tokenizer) if counts[index] == 0)


def longest_tokens(tokenizer: Tokenizer) -> list[str]:
    """The longest merged tokens as text, longest first."""
    merged = merged_tokens(tokenizer)
    longest = sorted(merged, key=lambda index: (-len(merged[index]), index))[:NUM_LONGEST]
    return [tokenizer.decode([index]) for index in longest]


def _rows(tokenizer: Tokenizer) -> int:
    return max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
