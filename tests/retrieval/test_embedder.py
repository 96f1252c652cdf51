"""The embedder on a tiny random BERT: pooling, normalisation, batching, truncation, and its name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
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
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **sizes)).save_pretrained(folder)
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


def changed(folder: Path, tmp_path: Path, **files: object) -> Path:
    """A copy with other JSON files, by their names without ending."""
    other = shutil.copytree(folder, tmp_path / "other")
    for name, content in files.items():
        (other / f"{name}.json").write_text(json.dumps(content))
    return other


def with_pooling(folder: Path, tmp_path: Path, pooling: dict[str, object], **files: object) -> Path:
    other = changed(folder, tmp_path, **files)
    (other / "1_Pooling").mkdir()
    (other / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return other


@pytest.mark.parametrize(
    "pooling",
    [
        {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False},
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
        {"pooling_mode_mean_tokens": False},
        {"pooling_mode": "lasttoken"},
    ],
)
def test_another_pooling_is_refused(folder, tmp_path, pooling):
    with pytest.raises(UsageError, match="it pools by"):
        Embedder(with_pooling(folder, tmp_path, pooling))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"modules": [{"type": "x.Transformer"}, {"type": "x.Pooling"}, {"type": "x.Dense"}]}, "Dense"),
        ({"modules": [{"type": "x.CLIPModel"}]}, "CLIPModel"),
        ({"config_sentence_transformers": {"similarity_fn_name": "euclidean"}}, "compared by euclidean"),
        ({"config_sentence_transformers": {"similarity_fn_name": "dot"}}, "compared by dot"),
    ],
)
def test_what_is_not_understood_is_refused(folder, tmp_path, files, message):
    with pytest.raises(UsageError, match=message):
        Embedder(changed(folder, tmp_path, **files))


def test_a_prompt_that_pooling_leaves_out_is_refused(folder, tmp_path):
    prompts = {"config_sentence_transformers": {"prompts": {"query": "red "}}}
    with pytest.raises(UsageError, match="leaves out"):
        Embedder(with_pooling(folder, tmp_path, {"pooling_mode": "mean", "include_prompt": False}, **prompts))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("form", ["old", "new"])
def test_prompts_and_pooling_are_those_of_sentence_transformers(folder, tmp_path, pooling, form):
    stated = {f"pooling_mode_{name}": name.startswith(pooling) for name in ("mean_tokens", "cls_token")}
    stated = {"word_embedding_dimension": 32} | stated if form == "old" else {"pooling_mode": pooling}
    prompts = {"prompts": {"query": "red ", "document": "the sea "}, "similarity_fn_name": "cosine"}
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    other = with_pooling(folder, tmp_path, stated, modules=modules, config_sentence_transformers=prompts)
    if form == "new":
        (other / "1_Pooling" / "config.json").write_text(
            json.dumps({"embedding_dimension": 32, "pooling_mode": pooling})
        )
    (other / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "model_max_length": 16})
    )
    peer = SentenceTransformer(str(other), device="cpu")
    ours = Embedder(other, dtype=torch.float32, device=torch.device("cpu"))
    for found, expected in (
        (ours.embed(TEXTS), peer.encode_document(TEXTS, normalize_embeddings=True)),
        (ours.embed_queries(TEXTS), peer.encode_query(TEXTS, normalize_embeddings=True)),
    ):
        np.testing.assert_allclose(found, expected, atol=2e-6)
    bare = Embedder(other, dtype=torch.float32, device=torch.device("cpu"), prompts=False)
    np.testing.assert_allclose(bare.embed(TEXTS), peer.encode(TEXTS, normalize_embeddings=True), atol=2e-6)
    assert ours.count_tokens("ship") == bare.count_tokens("ship") + 2
    assert len({ours.name, bare.name}) == 2
    assert np.abs(ours.embed(TEXTS) - ours.embed_queries(TEXTS)).max() > 1e-4


def test_the_limit_is_what_the_folder_says_and_the_model_has(folder, tmp_path):
    assert Embedder(changed(folder, tmp_path, sentence_bert_config={"max_seq_length": 500})).max_tokens == 64
    (tmp_path / "other" / "sentence_bert_config.json").write_text("{}")
    assert Embedder(tmp_path / "other").max_tokens == 64
    (tmp_path / "other" / "tokenizer_config.json").write_text('{"model_max_length": 20}')
    assert Embedder(tmp_path / "other").max_tokens == 20


def test_texts_are_lowered_where_the_folder_says_so(folder, embedder, tmp_path):
    settings = {"max_seq_length": 16, "do_lower_case": True}
    lowering = Embedder(changed(folder, tmp_path, sentence_bert_config=settings), torch.float32, torch.device("cpu"))
    np.testing.assert_allclose(lowering.embed(["The RED ship"]), embedder.embed(["the red ship"]), atol=1e-6)
    assert lowering.name != embedder.name


@given(st.lists(st.integers(1, 40)), st.integers(1, 100))
def test_batches_hold_every_text_once_sorted_and_bounded(lengths, batch_tokens):
    batches = list(length_sorted_batches(lengths, batch_tokens))
    order = [index for batch in batches for index in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[index] for index in order] == sorted(lengths, reverse=True)
    widths = [max(lengths[index] for index in batch) for batch in batches]
    assert all(
        len(batch) == 1 or len(batch) * width <= batch_tokens for batch, width in zip(batches, widths, strict=True)
    )
    assert all((len(batch) + 1) * width > batch_tokens for batch, width in list(zip(batches, widths, strict=True))[:-1])
