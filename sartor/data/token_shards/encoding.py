"""Many texts to ids, quickly.

Byte-level BPE treats each word of a text by itself, and texts repeat their words: a piece of text that was met before
is looked up instead of merged again.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from sartor.base.errors import UsageError
from sartor.base.text_splits import KNOWN_RULES, rule_of

# Each of KNOWN_RULES begins a new word at a space between two characters that are not white, whatever stands further
# off. So the pieces between such places can be tokenized one by one.
_BEFORE_A_WORD = re.compile(r" (?<=\S )(?=\S)")
MOST_PIECES_KEPT = 400_000  # about 100 MB
LONGEST_PIECE_KEPT = 40  # characters; longer ones hardly ever come again
JOINED_PIECES = 1_000


def backend_settings(tokenizer: Any) -> str:
    """The tokenizer.json of a tokenizer of transformers. UsageError if it has none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UsageError(
            f"the tokenizer is of class {type(tokenizer).__name__}, without a tokenizer.json",
            hint="convert it with transformers' own converter, or train one with `sartor tokenizer`",
        )
    return str(backend.to_str())


def fingerprint(tokenizer: Any) -> str:
    """SHA-256 of what decides a tokenizer's ids: equal for one that was saved and loaded again."""
    settings = json.loads(backend_settings(tokenizer))
    decisive = {name: settings.get(name) for name in ("added_tokens", "normalizer", "pre_tokenizer", "model")}
    ends = [getattr(tokenizer, f"{name}_token_id", None) for name in ("bos", "eos")]
    return hashlib.sha256(json.dumps([decisive, ends], sort_keys=True).encode()).hexdigest()


def num_ids(tokenizer: Any) -> int:
    """The highest id of a tokenizer of transformers and one: more than it has tokens where some ids are of none."""
    return 1 + max(tokenizer.get_vocab().values(), default=-1)


class TextEncoder:
    """Ids of plain text: what looks like a control token is encoded as the characters that it is made of.

    `settings` is the text of a tokenizer.json; ids are given as bytes of `dtype`.
    """

    def __init__(self, settings: str, dtype: "np.dtype[Any]"):
        self.dtype = dtype
        self._tokenizer = Tokenizer.from_str(settings)
        self._tokenizer.encode_special_tokens = True  # what transformers calls split_special_tokens
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._by_pieces = _has_independent_pieces(json.loads(settings))
        self._known: dict[str, bytes] = {}
        if self._by_pieces:
            vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
            self._token_bytes = np.zeros(max(vocabulary.values()) + 1, np.int64)
            for token, index in vocabulary.items():
                self._token_bytes[index] = len(token)  # one character of a byte-level token is one byte

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """The ids of each text, without bos and eos. Memory is a small multiple of the texts'."""
        if not self._by_pieces:
            return self._directly(texts)
        split = [_BEFORE_A_WORD.split(text) for text in texts]
        new = sorted(set(chain.from_iterable(pieces[1:] for pieces in split)) - self._known.keys())
        self._learn(new)
        look_up = self._known.__getitem__
        firsts = self._directly([pieces[0] for pieces in split])
        found = [first + b"".join(map(look_up, pieces[1:])) for first, pieces in zip(firsts, split, strict=True)]
        self._forget(new)
        return found

    def _directly(self, texts: Sequence[str]) -> list[bytes]:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, self.dtype).tobytes() for encoding in encodings]

    def _learn(self, pieces: Sequence[str]) -> None:
        """Find the ids of pieces, each of which stands behind a space: many are encoded as one text, whose ids are then
        dealt out by the bytes that they stand for."""
        groups = [pieces[first : first + JOINED_PIECES] for first in range(0, len(pieces), JOINED_PIECES)]
        texts = [" " + " ".join(group) for group in groups]
        for group, raw in zip(groups, self._directly(texts), strict=True):
            token_ends = np.cumsum(self._token_bytes[np.frombuffer(raw, self.dtype)])
            piece_ends = np.cumsum([len(piece.encode()) + 1 for piece in group])
            last = np.searchsorted(token_ends, piece_ends)  # the token that ends each piece
            if last[-1] == len(token_ends) or not np.array_equal(token_ends[last], piece_ends):
                # A vocabulary that lacks single bytes leaves them out: its tokens are shorter than the text.
                self._known.update(zip(group, self._directly([f" {piece}" for piece in group]), strict=True))
                continue
            ends = ((last + 1) * self.dtype.itemsize).tolist()
            self._known.update(zip(group, map(raw.__getitem__, map(slice, [0, *ends[:-1]], ends)), strict=True))

    def _forget(self, new: Iterable[str]) -> None:
        """Keep memory bounded."""
        if len(self._known) > MOST_PIECES_KEPT:
            self._known.clear()
            return
        for piece in new:
            if len(piece) > LONGEST_PIECE_KEPT:
                del self._known[piece]


def _has_independent_pieces(settings: dict[str, Any]) -> bool:
    """Whether the pieces between `_BEFORE_A_WORD` can be tokenized one by one."""
    model = settings["model"]
    return (
        model["type"] == "BPE"
        and not model.get("dropout")
        and not model.get("byte_fallback")
        and not model.get("continuing_subword_prefix")
        and not model.get("end_of_word_suffix")
        and settings.get("normalizer") is None
        and rule_of(settings.get("pre_tokenizer")) in KNOWN_RULES
        and all(token["special"] for token in settings["added_tokens"])
    )
