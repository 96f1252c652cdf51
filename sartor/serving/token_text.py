"""What a single token stands for: its text and, where it is only a part of a character, its bytes."""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.data.text_bytes import is_byte_level

BROKEN_CHARACTER = "\ufffd"


@dataclass(frozen=True)
class TokenText:
    """`text` has U+FFFD where the token holds a part of a character only; `raw` are its bytes, None where unknown."""

    text: str
    raw: bytes | None

    @property
    def is_whole(self) -> bool:
        return self.raw is None or self.raw.decode("utf-8", "replace") == self.raw.decode("utf-8", "ignore")

    @property
    def name(self) -> str:
        """As the completions API writes it: the text, or `bytes:\\xe2\\x80` for a part of a character."""
        if self.is_whole or self.raw is None:
            return self.text
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in self.raw)


class TokenTexts:
    """Texts of one tokenizer's tokens, control tokens included. Without a tokenizer, what `decode` says of them."""

    def __init__(self, tokenizer: Any | None, decode: Callable[[Sequence[int]], str]):
        self._tokenizer, self._decode = tokenizer, decode
        self._byte_level = tokenizer is not None and is_byte_level(tokenizer)
        self._added = set(tokenizer.added_tokens_decoder) if tokenizer is not None else set()
        self._known: dict[int, TokenText] = {}

    def __getitem__(self, token_id: int) -> TokenText:
        if token_id not in self._known:
            self._known[token_id] = self._read(token_id)
        return self._known[token_id]

    def _read(self, token_id: int) -> TokenText:
        if self._tokenizer is None:
            text = self._decode([token_id])
            return TokenText(text, None if BROKEN_CHARACTER in text else text.encode("utf-8", "replace"))
        written = self._tokenizer.convert_ids_to_tokens(token_id)
        if written is None:  # models have rows for more tokens than their tokenizer knows
            return TokenText("", b"")
        raw = self._bytes(token_id, written)
        return TokenText(raw.decode("utf-8", "replace"), raw)

    def _bytes(self, token_id: int, written: str) -> bytes:
        if token_id in self._added:
            return written.encode()
        alphabet = byte_alphabet()
        if self._byte_level and all(character in alphabet for character in written):
            return bytes(alphabet[character] for character in written)
        if fragment := re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", written):  # how SentencePiece writes bytes
            return bytes.fromhex(fragment[1])
        return written.replace("\u2581", " ").encode()


@functools.cache
def byte_alphabet() -> dict[str, int]:
    """The character for each byte in byte-level vocabularies (GPT-2): printable Latin-1 stands for itself, the rest
    follows from U+0100 on in its order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}
