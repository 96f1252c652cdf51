"""The cross-encoder against sentence-transformers' own on tiny random models, and when it is chosen."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import BertProcessing
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from sartor.base.errors import UsageError
from sartor.generation.protocol import Passage
from sartor.retrieval.fusion import Ranking
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.ranking_choice import choose_ranking
from sartor.retrieval.rerank import Reranker

WORDS = ["red", "green", "blue", "ship", "sails", "over", "the", "sea"]
TEXTS = ["the red ship sails", "green sea", "blue " * 30, "the ship", "the sea over the sea"]


def cross_encoder(folder: Path, kind: str = "bert", outputs: int = 1) -> Path:
    special = {"bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]"], "xlm-roberta": ["<s>", "<pad>", "</s>", "<unk>"]}[kind]
    vocabulary = {word: index for index, word in enumerate([*special, *WORDS])}
    pad, unknown, start, end = special if kind == "bert" else (special[1], special[3], special[0], special[2])
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = BertProcessing((end, vocabulary[end]), (start, vocabulary[start]))
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"pad_token": pad, "unk_token": unknown, "cls_token": start, "sep_token": end, "model_max_length": 24}
    inputs = ["input_ids", "attention_mask"] + (["token_type_ids"] if kind == "bert" else [])
    named["model_input_names"] = inputs
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | named))
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    sizes |= {"vocab_size": len(vocabulary), "max_position_embeddings": 40, "num_labels": outputs}
    if kind == "bert":
        model = BertForSequenceClassification(BertConfig(**sizes, initializer_range=0.3))
    else:
        config = XLMRobertaConfig(**sizes, initializer_range=0.3, pad_token_id=1)
        model = XLMRobertaForSequenceClassification(config)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_scores_are_those_of_sentence_transformers(tmp_path, kind):
    folder = cross_encoder(tmp_path, kind)
    question = "the red ship"
    expected = CrossEncoder(str(folder), device="cpu").predict([(question, text) for text in TEXTS])
    found = Reranker(folder, dtype=torch.float32).scores(question, TEXTS)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(found, expected, atol=2e-5)


def passage(text: str, title: str = "") -> Passage:
    return Passage(f"{text}#0", text, text, 0.5, 0, len(text), title)


def test_passages_are_ordered_by_their_new_scores(tmp_path):
    reranker = Reranker(cross_encoder(tmp_path), dtype=torch.float32)
    scores = reranker.scores("ship", [f"sea\n{text}" for text in TEXTS])
    found = reranker.rerank("ship", [passage(text, "sea") for text in TEXTS], 3)
    assert [one.text for one in found] == [TEXTS[index] for index in np.argsort(-scores)[:3]]
    assert [one.score for one in found] == sorted(scores, reverse=True)[:3]
    assert reranker.rerank("ship", [], 3) == []


def test_what_is_no_cross_encoder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="2 outputs"):
        Reranker(cross_encoder(tmp_path, outputs=2))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "deberta-v2"}))
    with pytest.raises(UsageError, match="its type is deberta-v2"):
        Reranker(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match=r"no tokenizer\.json"):
        Reranker(tmp_path)


class Judge:
    """Prefers the passages with a word, or their opposite."""

    def __init__(self, sign: int):
        self.name, self.sign = f"judge {sign}", sign

    def rerank(self, question: str, passages: list[Passage], k: int) -> list[Passage]:
        word = question.split()[-1]
        return sorted(passages, key=lambda one: -self.sign * (word in one.text))[:k]


def test_a_reranker_is_chosen_only_where_it_gains(store, embedder, make_documents):
    words = [f"word{number}" for number in range(12)]
    index_folder(store, make_documents(**{word: f"{word} " + "same " * 9 for word in words}), embedder)
    questions, evidence = [f"same same nothing{word[4:]}x {word}" for word in words], [{word} for word in words]
    plain = choose_ranking(store, embedder, questions, evidence, 1)
    assert plain.ranking.rerank is None and plain.questions == 12
    assert {"bm25", "dense", "fused 0.7"} <= set(plain.tried)
    bad = choose_ranking(store, embedder, questions, evidence, 1, Judge(-1))
    assert bad.ranking == plain.ranking and len(bad.tried) == len(plain.tried) + 1
    measured = choose_ranking(store, embedder, questions, evidence, 1, Judge(1))
    gained = measured.tried[next(name for name in measured.tried if "judge" in name)]
    assert gained == (1.0, 1.0)
    assert choose_ranking(store, embedder, questions, [()] * 12, 1, Judge(1)).ranking == store.ranking == Ranking()
