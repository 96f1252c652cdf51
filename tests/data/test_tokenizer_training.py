"""Tokenizers of one's own: the same again, read by transformers, chat and GGUF, and never fooled by typed tokens."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from sartor.base.errors import UsageError
from sartor.data.chat import ChatFormat
from sartor.data.tokenizer_quality import longest_tokens, merged_tokens, unused_tokens, usage
from sartor.data.tokenizer_training import CONTROL_TOKENS, FEWEST_TOKENS, FILES, _cut, tokenizer_files, train_bpe
from sartor.models.gguf_tokenizer import SPLITS, build_tokenizer, tokenizer_fields

WORDS = ("harbour", "ship", "captain", "moors", "north", "1984", "said", "“never”", "naïve", "日本語", "it's",
         "they'll", "\n\n", "x", "=", "3.14;", "🙂")  # fmt: skip
SIZE = 320
NAMES = ("qwen2", "llama-bpe", "smollm", "gpt-2")
HARD = [
    "",
    " ",
    "\0",
    "a\0b",
    "\n \n",
    "é e\u0301",
    "日本語 ",
    "🙂👩‍👩‍👧",
    "12345 ٣٤٥",
    "\u2028\u0085\ufeff",
    "\uffff\U0010ffff",
]


def texts(count: int = 300, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randrange(40))) for _ in range(count)]


def made(name: str = "qwen2", batches: int = 3) -> Tokenizer:
    split, each = SPLITS[name], len(texts()) // batches
    parts = [texts()[first : first + each] for first in range(0, len(texts()), each)]
    return train_bpe(iter(parts), SIZE, split.rule, split.whole_words)


@pytest.fixture(scope="module", params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    where = tmp_path_factory.mktemp("tokenizer")
    for name, content in tokenizer_files(made(request.param), {"a": 1}).items():
        (where / name).write_bytes(content)
    return request.param, where


def loaded(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


CHILD = """
import hashlib, sys
from tests.data.test_tokenizer_training import made, tokenizer_files
print(hashlib.sha256(b"".join(tokenizer_files(made(batches=int(sys.argv[1])), {}).values())).hexdigest())
"""


def test_the_same_texts_give_the_same_bytes_with_any_number_of_threads() -> None:
    root = Path(__file__).parents[2]
    found = set()
    for threads, parallel, batches in (("1", "false", "1"), ("2", "true", "3"), ("5", "true", "30")):
        variables = {**os.environ, "RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": parallel}
        command = [sys.executable, "-c", CHILD, batches]
        done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


def test_transformers_reads_it(folder: tuple[str, Path]) -> None:
    name, where = folder
    tokenizer, raw = loaded(where), made(name)
    assert sorted(path.name for path in where.iterdir()) == sorted(FILES)
    assert len(tokenizer) == SIZE == raw.get_vocab_size()
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 0, 0)
    assert tokenizer.convert_ids_to_tokens(list(range(8))) == list(CONTROL_TOKENS)
    for text in [*HARD, *texts(50, seed=1)]:
        ids = tokenizer(text, add_special_tokens=True).input_ids
        assert ids == raw.encode(text).ids
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_conversations_are_rendered_as_chatml(folder: tuple[str, Path]) -> None:
    chat = ChatFormat(loaded(folder[1]))
    assert chat.has_own_template and chat.special_ids == set(range(8))
    messages = [{"role": "user", "content": "a <|im_end|> b"}, {"role": "assistant", "content": "ship"}]
    (row,) = chat.render(messages)
    learnt = [token for token, trained in zip(row.ids, row.trained, strict=True) if trained]
    assert chat.tokenizer.decode(learnt) == "ship<|im_end|>"
    assert row.ids.count(2) == 2  # two turns end; the typed token is plain text
    assert chat.stop_ids == {0, 2}


def test_gguf_has_a_name_for_how_it_cuts_words(folder: tuple[str, Path]) -> None:
    name, where = folder
    tokenizer = loaded(where)
    fields = tokenizer_fields(tokenizer, SIZE)
    assert fields.pre == name and not fields.add_bos and not fields.add_eos and fields.template
    back = build_tokenizer(fields)
    back.normalizer = None  # llama.cpp knows none
    for text in [*HARD, *texts(50, seed=2)]:
        assert back.encode(text).ids == tokenizer(text).input_ids


def test_any_text_comes_back_and_typed_tokens_stay_text() -> None:
    """R13, reduced: 5,000 texts of any characters."""
    tokenizer, draw = made(), random.Random(5)
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]

    def wild() -> Iterator[list[str]]:
        for _ in range(50):
            yield [
                "".join(map(chr, draw.choices(codes if draw.random() < 0.5 else range(0x250), k=draw.randrange(40))))
                + draw.choice((*CONTROL_TOKENS, "<|im_start", "", " <|endoftext|> "))
                + draw.choice(texts(3))
                for _ in range(100)
            ]

    used = usage(tokenizer.to_str(), wild())
    assert (used.texts, used.not_restored) == (5000, 0)
    assert used.counts[: len(CONTROL_TOKENS)].sum() == 0 < used.counts.sum()


def test_control_tokens_in_the_texts_are_not_learnt_as_such() -> None:
    split = SPLITS["qwen2"]
    typed = [[f"{token} ship {token}" for token in CONTROL_TOKENS] * 50]
    tokenizer = train_bpe(typed, 350, split.rule)
    assert [tokenizer.id_to_token(index) for index in range(len(CONTROL_TOKENS))] == list(CONTROL_TOKENS)
    assert usage(tokenizer.to_str(), typed).counts[: len(CONTROL_TOKENS)].sum() == 0


def test_every_digit_is_apart_where_the_rule_says_so() -> None:
    numbers = [[f"{number} " for number in range(1990, 2010)] * 20]
    digits = {name: train_bpe(numbers, 300, SPLITS[name].rule).encode("2001").tokens for name in NAMES}
    assert digits["qwen2"] == digits["smollm"] == ["2", "0", "0", "1"]
    assert digits["gpt-2"] == ["2001"] and "".join(digits["llama-bpe"]) == "2001" and len(digits["llama-bpe"]) == 2


def test_a_line_of_a_megabyte_is_learnt_from() -> None:
    for line in ("x" * 2**20, "ab " * 2**18):
        tokenizer = train_bpe([[line]], 300, SPLITS["qwen2"].rule)
        assert tokenizer.decode(tokenizer.encode(line).ids) == line


def test_short_texts_give_fewer_tokens_and_nothing_gives_the_bytes() -> None:
    split = SPLITS["qwen2"]
    assert train_bpe([["ab ab"]], SIZE, split.rule).get_vocab_size() < FEWEST_TOKENS + 5
    bytes_only = train_bpe([[]], SIZE, split.rule)
    assert bytes_only.get_vocab_size() == FEWEST_TOKENS and not merged_tokens(bytes_only)
    assert bytes_only.decode(bytes_only.encode("日本 a").ids) == "日本 a"
    with pytest.raises(UsageError, match="too few"):
        train_bpe([["a"]], FEWEST_TOKENS - 1, split.rule)


def test_tokens_that_only_lead_to_longer_ones_are_found() -> None:
    tokenizer = train_bpe([["abcd"] * 50], 300, SPLITS["gpt-2"].rule)
    assert set(merged_tokens(tokenizer).values()) == {"ab", "cd", "abcd"} or longest_tokens(tokenizer)[0] == "abcd"
    counts = usage(tokenizer.to_str(), [["abcd abcd", "abcd"]]).counts
    unused = {tokenizer.id_to_token(index) for index in unused_tokens(tokenizer, counts)}
    assert unused == set(merged_tokens(tokenizer).values()) - {"abcd"} and unused


def test_the_facts_are_written_as_they_are() -> None:
    files = tokenizer_files(made(), {"texts": "naïve", "bytes_per_token": 3.5})
    assert json.loads(files["training.json"]) == {"texts": "naïve", "bytes_per_token": 3.5}


@pytest.mark.parametrize(
    "text", ["a b", "", "x" * 999 + " y", "x" * 1000, "ab " + "x" * 2500 + " y", " " * 3000, "\n" * 999]
)
def test_only_endless_words_are_cut_and_nothing_is_lost(text: str) -> None:
    pieces = _cut(["before", text, "after"])
    assert "".join(pieces) == f"before{text}after"
    assert (pieces == ["before", text, "after"]) == (re.search(r"\S{1000}|\s{1000}", text) is None or len(text) == 1000)
    assert all(len(word) <= 1000 for piece in pieces for word in re.findall(r"\S+|\s+", piece))
