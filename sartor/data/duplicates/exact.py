"""Texts that are the same but for case, spacing and how their characters are composed.

A text's key is 64 bits of BLAKE2b of its normalised form. Among n different texts, n**2 / 2**65 pairs are expected to
share a key by chance: 0.0003 in a hundred million.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import Field

from sartor.base.configuration import Config


class ExactMatch(Config):
    """What counts as the same text. Unicode NFC and one space for each run of white space always apply."""

    fold_case: bool = Field(default=True, description="texts that differ in case only are the same")


def normalised(text: str, fold_case: bool) -> str:
    """The form in which texts are compared: NFC, case folded if asked for, no space at either end."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join((text.casefold() if fold_case else text).split())


def text_keys(texts: Sequence[str], settings: ExactMatch) -> np.ndarray:
    """uint64[texts]: equal for texts that are the same."""
    return keys_of(normalised(text, settings.fold_case) for text in texts)


def keys_of(names: Iterable[str]) -> np.ndarray:
    """uint64[names]: 64 bits of BLAKE2b of each in UTF-8."""
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, "<u8").astype(np.uint64)
