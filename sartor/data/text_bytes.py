"""How many bytes of text a token stands for: what makes losses under different tokenizers comparable."""

import json
from typing import Any

import torch
from torch import Tensor


def token_bytes(tokenizer: Any) -> Tensor:
    """Bytes of UTF-8 for every id, int64 [V]; 0 for control tokens, which are no text.

    Exact for byte-level vocabularies, whose tokens are written with one character a byte; otherwise what the token
    decodes to by itself.
    """
    specials = set(tokenizer.all_special_ids)
    specials |= {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    tokens: list[str] = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    byte_level = is_byte_level(tokenizer)
    sizes = [
        0 if index in specials else len(token) if byte_level else len(tokenizer.decode([index]).encode())
        for index, token in enumerate(tokens)
    ]
    return torch.tensor(sizes)


def is_byte_level(tokenizer: Any) -> bool:
    """Whether the tokenizer writes each byte as one character of its own alphabet (GPT-2's)."""
    decoder = json.loads(tokenizer.backend_tokenizer.to_str()).get("decoder") or {}
    kinds = [decoder.get("type"), *(part.get("type") for part in decoder.get("decoders", ()))]
    return "ByteLevel" in kinds
