"""How many bytes of text a token stands for: what makes losses under different tokenizers comparable."""

import json
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sartor.data.token_shards.encoding import num_ids

BYTE = re.compile(r"<0x[0-9A-F]{2}>")
ORDINARY = re.compile(r"[A-Za-z]+")


def token_bytes(tokenizer: Any) -> Tensor:
    """Bytes of UTF-8 for every id, int64 [highest id + 1]; 0 for control tokens, which are no text, and ids of none.

    Exact for byte-level vocabularies, whose tokens are written with one character a byte. For others it is what a token
    adds between two others, so that a space before or behind a word is counted with it: the tokens of a text sum to its
    bytes, and one more where the tokenizer puts a space before it.
    """
    specials = set(tokenizer.all_special_ids)
    specials |= {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    tokens: list[str | None] = tokenizer.convert_ids_to_tokens(list(range(num_ids(tokenizer))))
    texts = {index: token for index, token in enumerate(tokens) if token is not None and index not in specials}
    sizes = torch.zeros(len(tokens), dtype=torch.int64)
    counts = [len(token) for token in texts.values()] if is_byte_level(tokenizer) else _added_bytes(tokenizer, texts)
    sizes[list(texts)] = torch.tensor(counts, dtype=torch.int64)
    return sizes


def is_byte_level(tokenizer: Any) -> bool:
    """Whether the tokenizer writes each byte as one character of its own alphabet (GPT-2's)."""
    return "ByteLevel" in _decoders(tokenizer)


def _added_bytes(tokenizer: Any, texts: dict[int, str]) -> list[int]:
    """What each token adds to the text of an ordinary token that stands before and behind it."""
    ordinary = next((index for index, token in texts.items() if ORDINARY.fullmatch(token)), None)
    sides = [] if ordinary is None else [ordinary]
    falls_back = "ByteFallback" in _decoders(tokenizer)
    bare = _decoded_bytes(tokenizer, [sides * 2])[0]
    counts = _decoded_bytes(tokenizer, [[*sides, index, *sides] for index in texts])
    return [
        1 if falls_back and BYTE.fullmatch(token) else max(count - bare, 0)
        for token, count in zip(texts.values(), counts, strict=True)
    ]


def _decoded_bytes(tokenizer: Any, ids: Sequence[Sequence[int]]) -> list[int]:
    # The backend itself: transformers takes spaces before punctuation away.
    decoded = tokenizer.backend_tokenizer.decode_batch(ids, skip_special_tokens=False)
    return [len(text.encode()) for text in decoded]


def _decoders(tokenizer: Any) -> list[str | None]:
    decoder = json.loads(tokenizer.backend_tokenizer.to_str()).get("decoder") or {}
    return [decoder.get("type"), *(part.get("type") for part in decoder.get("decoders", ()))]
