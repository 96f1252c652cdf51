"""Quick encoding: the very ids of the library, and no control tokens from text."""

import random

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from sartor.base.errors import UsageError
from sartor.base.text_splits import DIGITS, GPT2, KNOWN_RULES, ONE_DIGIT, THREE_DIGITS, splitter
from sartor.data.token_shards import encoding
from sartor.data.token_shards.encoding import TextEncoder, fingerprint
from tests import tiny_models
from tests.data.token_shards import made

NAMES = {THREE_DIGITS: "three digits", ONE_DIGIT: "one digit", DIGITS: "digits", GPT2: "gpt2"}
HARD = [
    "", " ", "  ", "a", " a", "a ", "a  b", "a   b", "a \n b", "a\n b", "a \nb", "a\t b", " \n\n  x", "1 2  3 4567 89",
    "it's 'tis 's 'S \u017f '\u017f", "a\u00a0b c\u2003 d", "x\u200b y", "\x00 \x00a b\x00", "\x1c \x1d a \x1e b",
    "\u3000 \u3000a b", "a \u0301b", "e\u0301 e\u0301", "a\r\n b \r c", "\ud7ff \ue000 \U0010ffff b", "\u0085 \u0085b",
    "<|end|> <|im_start|>user a<|im_end|> <|end|>", "日本語 テキスト 中文 ", "🙂 👩‍👩‍👧 🇳🇴", "¼ Ⅷ ٣٤٥ ² 3²",
]  # fmt: skip
ALPHABET = [
    *"ab 1\n\t\r.,'-",
    " ",
    "  ",
    "é",
    "日",
    "🙂",
    "\u0301",
    "\u2003",
    "\u00a0",
    "\u0085",
    "\x1f",
    "\x00",
    "²",
    "٣",
]


def trained(rule: str) -> Tokenizer:
    made_of = Tokenizer(models.BPE())
    made_of.pre_tokenizer = splitter(rule)
    made_of.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|end|>", "<|im_start|>", "<|im_end|>"],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    made_of.train_from_iterator(made.texts(200), trainer)
    return made_of


def random_texts(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    wild = [chr(code) for code in (draw.randrange(0x110000) for _ in range(2000)) if not 0xD800 <= code < 0xE000]
    choices = [ALPHABET, [*ALPHABET, *wild], [" ", "a", "\n"]]
    return ["".join(draw.choices(draw.choice(choices), k=draw.randrange(60))) for _ in range(count)]


def library(tokenizer: Tokenizer, texts: list[str], dtype: str = "<u2") -> list[bytes]:
    tokenizer.encode_special_tokens = True
    return [np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype).tobytes() for text in texts]


@pytest.mark.parametrize("rule", KNOWN_RULES, ids=NAMES.get)
def test_looking_up_pieces_gives_the_librarys_ids(rule: str) -> None:
    tokenizer = trained(rule)
    quick = TextEncoder(tokenizer.to_str(), np.dtype("<u2"))
    assert quick._by_pieces
    texts = [*HARD, *made.texts(50, seed=1), *random_texts(1200, seed=2)]
    expected = library(tokenizer, texts)
    for _ in range(2):  # with nothing known yet, and with everything
        found = quick.encode(texts)
        assert [text for text, ours, theirs in zip(texts, found, expected, strict=True) if ours != theirs] == []


def test_text_comes_back_and_never_becomes_control_tokens() -> None:
    """R13, reduced: 5,000 texts."""
    tokenizer = trained(ONE_DIGIT)
    quick = TextEncoder(tokenizer.to_str(), np.dtype("<u2"))
    controls = ["<|end|>", "<|im_start|>", "<|im_end|>", "<|im_", "end|>"]
    draw = random.Random(3)
    plain = random_texts(5000, seed=4)
    texts = [text[: len(text) // 2] + draw.choice(controls) + text[len(text) // 2 :] for text in plain]
    for text, raw in zip(texts, quick.encode(texts), strict=True):
        ids = np.frombuffer(raw, "<u2").tolist()
        assert not set(ids) & {0, 1, 2}
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("text", ["x" * 2**20, "a b " * 2**18, " " * 2**20, "\n" * 2**20, "é" * 2**19, "7" * 2**18])
def test_a_line_of_a_megabyte_comes_back(text: str) -> None:
    tokenizer = trained(ONE_DIGIT)
    (raw,) = TextEncoder(tokenizer.to_str(), np.dtype("<u2")).encode([text])
    assert tokenizer.decode(np.frombuffer(raw, "<u2").tolist()) == text


def normalised(made_of: Tokenizer) -> None:
    made_of.normalizer = normalizers.NFC()


def with_a_word(made_of: Tokenizer) -> None:
    made_of.add_tokens([AddedToken("on the mat", normalized=False)])


def with_a_cut(made_of: Tokenizer) -> None:
    made_of.enable_truncation(5)
    made_of.enable_padding(length=5)


@pytest.mark.parametrize(("change", "by_pieces"), [(normalised, False), (with_a_word, False), (with_a_cut, True)])
def test_tokenizers_of_other_kinds_are_encoded_as_they_are(change: object, by_pieces: bool) -> None:
    tokenizer = trained(GPT2)
    change(tokenizer)  # type: ignore[operator]
    quick = TextEncoder(tokenizer.to_str(), np.dtype("<u4"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    assert quick._by_pieces == by_pieces
    texts = ["the cat sat on the mat and e\u0301", *made.texts(20)]
    assert quick.encode(texts) == library(tokenizer, texts, "<u4")


def test_a_vocabulary_without_some_bytes_leaves_them_out_as_the_library_does() -> None:
    settings = Tokenizer(models.BPE())
    settings.pre_tokenizer = splitter(GPT2)
    settings.train_from_iterator(["the cat sat"] * 5, trainers.BpeTrainer(vocab_size=40, show_progress=False))
    texts = ["the cat sat", "the dog sat on a cat", "a é b the"]
    assert TextEncoder(settings.to_str(), np.dtype("<u2")).encode(texts) == library(settings, texts)


def test_memory_of_pieces_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MOST_PIECES_KEPT", 100)
    tokenizer = trained(GPT2)
    quick = TextEncoder(tokenizer.to_str(), np.dtype("<u2"))
    for seed in range(20):
        texts = [" ".join(str(number * 7919 + seed) for number in range(80)), "a " + "b" * 1000 + f"{seed} c"]
        assert quick.encode(texts) == library(tokenizer, texts)
        assert len(quick._known) <= 100 and max(map(len, quick._known), default=0) <= encoding.LONGEST_PIECE_KEPT


def test_the_fingerprint_is_of_what_decides_the_ids(tmp_path: object) -> None:
    one = tiny_models.tokenizer()
    one.save_pretrained(tmp_path)
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert fingerprint(one) == fingerprint(again)
    assert fingerprint(one) != fingerprint(tiny_models.tokenizer("llama3"))
    again.eos_token = "<|im_end|>"
    assert fingerprint(one) != fingerprint(again)


def test_a_tokenizer_without_a_tokenizer_json_is_refused() -> None:
    with pytest.raises(UsageError, match="without a tokenizer.json"):
        fingerprint(object())
