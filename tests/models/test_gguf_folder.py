"""GGUF to a Hub folder: weights as transformers reads them, and the tokenizer as the model was trained
with."""

import json
import random

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from sartor.base.errors import DataError
from sartor.models.gguf_folder import convert_gguf
from sartor.models.hub import load_model, load_tokenizer
from tests.models.tiny_gguf import TEMPLATE, write_tiny_gguf


@pytest.fixture(scope="module")
def folder(tiny_gguf, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    convert_gguf(tiny_gguf, folder, "tiny")
    return folder


def test_weights_and_logits_equal_those_of_transformers_own_reader(tiny_gguf, folder):
    ours = load_model(folder, torch.bfloat16)
    unpacked = {}
    if hasattr(transformers, "GgufConfig"):  # newer versions keep weights packed unless told otherwise
        unpacked["quantization_config"] = transformers.GgufConfig(dequantize=True)
    theirs = AutoModelForCausalLM.from_pretrained(
        tiny_gguf.parent,
        gguf_file=tiny_gguf.name,
        dtype=torch.bfloat16,
        **unpacked,
    )
    state = theirs.state_dict()
    assert ours.state_dict().keys() == state.keys()
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    ids = torch.randint(0, 200, (2, 17), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(ours(ids).logits, theirs(ids).logits)


def test_settings_are_those_of_the_file(folder):
    config = json.loads((folder / "config.json").read_text())
    assert (config["rms_norm_eps"], config["tie_word_embeddings"], config["head_dim"]) == (1e-5, True, 16)
    assert json.loads((folder / "generation_config.json").read_text()) == {
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
    }  # fmt: skip


def test_the_tokenizer_splits_digits_keeps_specials_and_comes_back(folder):
    tokenizer = load_tokenizer(folder)
    assert tokenizer.tokenize("ab  12 the") == ["ab", "ĠĠ", "1", "2", "Ġthe"]
    assert tokenizer("<|im_start|>ab<|im_end|><|endoftext|>").input_ids[::2] == [1, 2]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert tokenizer.chat_template == TEMPLATE
    generator = random.Random(0)
    for _ in range(2000):
        text = "".join(chr(random_code_point(generator)) for _ in range(20))
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def random_code_point(generator):
    low, high = generator.choice([(0, 0x80), (0x80, 0x3000), (0x3000, 0xD800), (0xE000, 0x110000)])
    return generator.randrange(low, high)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 16, b"not a model at all" * 10])
def test_a_damaged_file_is_a_data_error(tmp_path, content):
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.gguf"):
        convert_gguf(path, tmp_path, "x")


def test_another_tokenizer_is_refused_because_it_would_be_wrong(tmp_path):
    write_tiny_gguf(tmp_path / "x.gguf", pre="tekken")
    with pytest.raises(DataError, match="tekken"):
        convert_gguf(tmp_path / "x.gguf", tmp_path, "x")
