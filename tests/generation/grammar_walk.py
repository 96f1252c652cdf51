"""Answers at random under a constraint: what a model without any idea would say."""

import functools
import json
import random
from collections.abc import Callable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from sartor.data.chat import ChatFormat
from sartor.generation.constrained import Grammars
from sartor.generation.protocol import TokenConstraint
from tests import tiny_models

TEXTS = ['{"name": "the cat", "on": [1, 2.5, true, null], "arguments": {}}', "héllo wörld 2024-02-29 ☃ 🦊"] * 3


@functools.cache
def sentencepiece_like() -> PreTrainedTokenizerFast:
    """A BPE tokenizer in the manner of Llama 2: words begin with U+2581, unknown characters fall apart in bytes."""
    raw = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    raw.pre_tokenizer = pre_tokenizers.Split(Regex("(?=\u2581)"), "isolated")
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    raw.decoder = decoders.Sequence(parts)
    pieces = ["<unk>", "<s>", "</s>", "<|im_end|>"]
    raw.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=[*pieces, *(f"<0x{byte:02X}>" for byte in range(256))],
            limit_alphabet=60,
            show_progress=False,
        ),
    )
    spec = json.loads(raw.to_str())
    spec["added_tokens"] = [each for each in spec["added_tokens"] if each["content"] in pieces]
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spec)),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<|im_end|>"],
    )
    made.chat_template = tiny_models.CHATML
    return made


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "byte-level": tiny_models.tokenizer,
    "sentencepiece": sentencepiece_like,
}


@functools.cache
def world(kind: str = "byte-level") -> tuple[ChatFormat, Grammars]:
    chat = ChatFormat(TOKENIZERS[kind]())
    return chat, Grammars(chat.tokenizer, chat.stop_ids)


def answer(chat: ChatFormat, constraint: TokenConstraint, draw: random.Random, max_tokens: int = 400) -> str | None:
    """What was said, None if it did not come to an end. It ends where it may with one chance in three."""
    said: list[int] = []
    stops = set(chat.stop_ids)
    while len(said) < max_tokens and not constraint.finished:
        ids = set(map(int, constraint.allowed().nonzero()[0]))
        assert ids, "nothing is allowed"
        if ids & stops and (ids == stops or draw.random() < 1 / 3):
            return chat.decode(said)
        words = sorted(ids - stops)
        assert not set(words) & chat.special_ids
        said.append(draw.choice(words))
        constraint.accept(said[-1])
    return chat.decode(said) if constraint.finished else None
