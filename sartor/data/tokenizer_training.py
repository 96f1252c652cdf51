"""A tokenizer of one's own: byte-level BPE, in the files that transformers and llama.cpp's converter read."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from sartor.base.errors import UsageError
from sartor.base.text_splits import splitter

END_OF_TEXT, TURN_BEGINS, TURN_ENDS = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
NUM_RESERVED = 5  # for what a later training wants to mark, so that no embedding need be added
CONTROL_TOKENS = (END_OF_TEXT, TURN_BEGINS, TURN_ENDS, *(f"<|reserved_{n}|>" for n in range(NUM_RESERVED)))
FEWEST_TOKENS = 256 + len(CONTROL_TOKENS)
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LONGEST_WORD = 1000  # characters
_ENDLESS = re.compile(rf"(\S{{{LONGEST_WORD}}}|\s{{{LONGEST_WORD}}})")
_ENDLESS_SPACE = re.compile(rf"\s\s{{{LONGEST_WORD - 1}}}")
FACTS = "training.json"
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", FACTS)


def train_bpe(texts: Iterable[Sequence[str]], vocabulary: int, rule: str, whole_words: bool = False) -> Tokenizer:
    """Byte-level BPE of at most `vocabulary` tokens, learnt from batches of texts (Sennrich et al. 2016; bytes as in
    Radford et al. 2019). The same texts in the same order give the same tokenizer.

    `rule` is one of `text_splits`; with `whole_words` a word that is a token is not put together by merges. Ids begin
    with CONTROL_TOKENS, then all bytes, then merges in the order in which they were learnt. Fewer come out where the
    texts have no two bytes left to merge. Memory grows with the number of different words, not with the texts.
    """
    if vocabulary < FEWEST_TOKENS:
        what = f"{vocabulary} tokens are too few: {len(CONTROL_TOKENS)} mark documents and turns, 256 are the bytes"
        raise UsageError(what, hint="4,096 to 32,768 serve models of up to a hundred million weights")
    made = Tokenizer(models.BPE(ignore_merges=whole_words))
    made.pre_tokenizer = splitter(rule)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(CONTROL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator((_cut(batch) for batch in texts), trainer)
    return made


def tokenizer_files(tokenizer: Tokenizer, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """What to put into the tokenizer's folder: FILES, `facts` in the last of them. Equal tokenizers, equal bytes.

    Written as transformers 4 and 5 both read it, and programs built on either.
    """
    named = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT}
    special = named | {"additional_special_tokens": [TURN_BEGINS, TURN_ENDS]}
    config = special | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "chat_template": CHATML,
    }
    contents = (tokenizer.to_str(pretty=True).encode(), _json(config), _json(special), _json(facts))
    return dict(zip(FILES, contents, strict=True))


def _cut(batch: Sequence[str]) -> list[str]:
    """The texts with endless words cut, because the time to learn from a word grows with its square."""
    pieces: list[str] = []
    for text in batch:
        endless = max(map(len, text.split()), default=0) >= LONGEST_WORD or _ENDLESS_SPACE.search(text)
        pieces += [piece for piece in _ENDLESS.split(text) if piece] if endless else [text]
    return pieces


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
