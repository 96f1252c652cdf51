"""A byte-level BPE tokenizer as GGUF's fields, and back.

GGUF does not hold how text is split before merging, only a name that llama.cpp knows a rule for. So a tokenizer is
written when its rule is one of those in `SPLITS`, to the letter, and refused otherwise.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerBase

from sartor.base.errors import UsageError
from sartor.base.text_splits import DIGITS, GPT2, ONE_DIGIT, THREE_DIGITS, rule_of, splitter

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # gguf.TokenType
OTHER_FORMAT_HINT = "use --format safetensors, and convert that folder with llama.cpp's own converter"

@dataclass(frozen=True)
class Split:
    """A rule of splitting (DIGITS, GPT2 or a pattern). With `whole_words` a piece that is a token is not merged up;
    with `composed` text is brought to Unicode's form NFC first (which llama.cpp leaves out)."""

    rule: str
    whole_words: bool = False
    composed: bool = False


SPLITS = {
    "smollm": Split(DIGITS),
    "gpt-2": Split(GPT2),
    "llama-bpe": Split(THREE_DIGITS, whole_words=True),
    "smaug-bpe": Split(THREE_DIGITS),
    "qwen2": Split(ONE_DIGIT, composed=True),
}


@dataclass(frozen=True)
class TokenizerFields:
    """What a GGUF file says of a tokenizer. `types` are GGUF's; ids that are no token are UNUSED."""

    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    special_ids: dict[str, int]  # bos, eos, unk, pad, where there is one
    add_bos: bool
    add_eos: bool
    template: str | None


def tokenizer_fields(tokenizer: PreTrainedTokenizerBase, num_rows: int) -> TokenizerFields:
    """The fields of a tokenizer for a model with `num_rows` embeddings. UsageError for a kind that is not written."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise _unwritable(f"of class {type(tokenizer).__name__}, without a tokenizer.json")
    settings = json.loads(backend.to_str())
    pre = _pre_name(settings)
    tokens = [f"[PAD{index}]" for index in range(num_rows)]
    types = [UNUSED] * num_rows
    for token, index in settings["model"]["vocab"].items():
        _require_row(token, index, num_rows)
        tokens[index], types[index] = token, NORMAL
    for added in settings["added_tokens"]:
        if added["lstrip"] or added["rstrip"] or added["single_word"]:
            raise _unwritable(f"with the token {added['content']}, which takes spaces or whole words only")
        _require_row(added["content"], added["id"], num_rows)
        tokens[added["id"]], types[added["id"]] = added["content"], CONTROL if added["special"] else USER_DEFINED
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "unk", "pad")}
    around = tokenizer("a").input_ids
    return TokenizerFields(
        pre=pre,
        tokens=tokens,
        types=types,
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in settings["model"]["merges"]],
        special_ids={name: index for name, index in ids.items() if index is not None},
        add_bos=ids["bos"] is not None and around[0] == ids["bos"],
        add_eos=ids["eos"] is not None and around[-1] == ids["eos"],
        template=tokenizer.chat_template,
    )


def build_tokenizer(fields: TokenizerFields) -> Tokenizer:
    """The tokenizer that the fields describe. KeyError for an unknown `pre`.

    A published vocabulary may lack single bytes (SmolLM2's lacks those of a few control characters and of code points
    from U+40000 on); as in every other tool these leave no token of their own.
    """
    split = SPLITS[fields.pre]
    kinds = list(zip(fields.tokens, fields.types, strict=True))
    vocabulary = {token: index for index, (token, kind) in enumerate(kinds) if kind != UNUSED}
    merges = [(left, right) for left, right in (merge.split(" ") for merge in fields.merges)]
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=split.whole_words))
    if split.composed:
        made.normalizer = normalizers.NFC()
    made.pre_tokenizer = splitter(split.rule)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token, kind in kinds if kind == CONTROL]
    )
    made.add_tokens([AddedToken(token, normalized=False) for token, kind in kinds if kind == USER_DEFINED])
    if fields.add_bos or fields.add_eos:
        made.post_processor = _surround(fields)
    return made


def _surround(fields: TokenizerFields) -> processors.TemplateProcessing:
    before = [fields.special_ids["bos"]] if fields.add_bos else []
    after = [fields.special_ids["eos"]] if fields.add_eos else []
    text = [*(fields.tokens[index] for index in before), "$A", *(fields.tokens[index] for index in after)]
    used = [(fields.tokens[index], index) for index in before + after]
    return processors.TemplateProcessing(single=text, pair=[*text, "$B:1"], special_tokens=used)


def _pre_name(settings: Mapping[str, Any]) -> str:
    """llama.cpp's name for how this tokenizer.json splits text."""
    model = settings["model"]
    if model["type"] != "BPE" or model.get("byte_fallback"):
        raise _unwritable(f"of kind {model['type']}{' with byte fallback' if model.get('byte_fallback') else ''}")
    if model.get("dropout") or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise _unwritable("with dropout, or with marks inside or at the end of words")
    normalizer = (settings.get("normalizer") or {"type": None})["type"]
    rule = rule_of(settings.get("pre_tokenizer"))
    for name, split in SPLITS.items():
        if split.rule == rule and split.whole_words == bool(model.get("ignore_merges")):
            if normalizer is not None and not (split.composed and normalizer == "NFC"):
                raise _unwritable(f"that normalises text ({normalizer})")
            return name
    raise _unwritable("with a rule of splitting text that llama.cpp has no name for")


def _require_row(token: str, index: int, num_rows: int) -> None:
    if index >= num_rows:
        raise _unwritable(f"with the token {token} (id {index}), while the model has {num_rows} embeddings")


def _unwritable(what: str) -> UsageError:
    return UsageError(f"a tokenizer {what} is not written as GGUF", hint=OTHER_FORMAT_HINT)
