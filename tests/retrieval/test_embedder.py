"""The embedder on a tiny random BERT: pooling, normalisation, batching, truncation, and its name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import BertProcessing
from transformers import BertConfig, BertModel

from sartor.base.errors import UsageError
from sartor.retrieval.embedder import Embedder, length_sorted_batches

WORDS = ["red", "green", "blue", "ship", "sails", "over", "the", "sea"]
TEXTS = [
    "red",
    "",
    "the ship sails over the blue sea",
    "green",
    "ship",
    "the red ship sails",
    "unknown words only",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-bert")
    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(4)  # as in the MiniLM folder, where the file says 128 and the model takes 256
    tokenizer.enable_padding(length=12)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **sizes)).save_pretrained(
        folder
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16}))
    return folder


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Embedder:
    return Embedder(folder, dtype=torch.float32, device=torch.device("cpu"))


def by_hand(folder: Path, text: str) -> np.ndarray:
    """One text alone, no padding, the plain mean of its last hidden states, normalised."""
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    ids = [2, *(vocabulary.get(word, 1) for word in text.split()), 3]
    model = BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        mean = model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(dim=0).numpy()
    return mean / np.linalg.norm(mean)


def test_batched_vectors_are_those_of_each_text_alone(folder, embedder):
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32 and vectors.shape == (len(TEXTS), embedder.dimension) == (
        len(TEXTS),
        32,
    )
    np.testing.assert_allclose(vectors, [by_hand(folder, text) for text in TEXTS], atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert embedder.embed([]).shape == (0, 32)


def test_bfloat16_keeps_the_direction(folder, embedder):
    vectors = Embedder(folder, dtype=torch.bfloat16, device=torch.device("cpu")).embed(TEXTS)
    assert vectors.dtype == np.float32
    assert (vectors * embedder.embed(TEXTS)).sum(axis=1).min() > 0.999


def test_truncation_is_exact_counted_and_warned_of(folder, embedder, capsys):
    before = embedder.truncated
    fits, long = "ship " * 14, "ship " * 15
    assert (embedder.count_tokens(fits), embedder.count_tokens(long), embedder.max_tokens) == (16, 17, 16)
    embedder.embed([fits])
    assert embedder.truncated == before and capsys.readouterr().err == ""
    vectors = embedder.embed([long, fits, long])
    assert embedder.truncated == before + 2 and "2 texts" in capsys.readouterr().err
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


def test_the_name_follows_the_weights_only(folder, embedder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    assert Embedder(other).name == embedder.name
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    assert Embedder(other).name != embedder.name


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_folder_without_a_part_is_refused(folder, tmp_path, missing):
    other = shutil.copytree(folder, tmp_path / "other")
    (other / missing).unlink()
    with pytest.raises(UsageError, match=missing):
        Embedder(other)


def test_another_pooling_is_refused(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "1_Pooling").mkdir()
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (other / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    with pytest.raises(UsageError, match="does not pool by the mean"):
        Embedder(other)


@given(st.lists(st.integers(1, 40)), st.integers(1, 100))
def test_batches_hold_every_text_once_sorted_and_bounded(lengths, batch_tokens):
    batches = list(length_sorted_batches(lengths, batch_tokens))
    order = [index for batch in batches for index in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[index] for index in order] == sorted(lengths, reverse=True)
    widths = [max(lengths[index] for index in batch) for batch in batches]
    assert all(
        len(batch) == 1 or len(batch) * width <= batch_tokens
        for batch, width in zip(batches, widths, strict=True)
    )
    assert all(
        (len(batch) + 1) * width > batch_tokens
        for batch, width in list(zip(batches, widths, strict=True))[:-1]
    )
