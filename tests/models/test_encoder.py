"""The packed forward pass against transformers' own, on tiny random models of every type it computes."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from sartor.models import encoder
from sartor.models.encoder import PackedEncoder, encoder_config
from sartor.models.padded_encoder import PaddedEncoder
from sartor.models.relative_positions import relative_bucket

SIZES = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 300,
}  # fmt: skip
KINDS = {
    "bert": (BertModel, BertConfig(**SIZES)),
    "roberta": (RobertaModel, RobertaConfig(**SIZES, pad_token_id=1)),
    "xlm-roberta": (XLMRobertaModel, XLMRobertaConfig(**SIZES, pad_token_id=1)),
    "mpnet": (MPNetModel, MPNetConfig(**SIZES, pad_token_id=1)),
    "with a head": (BertForSequenceClassification, BertConfig(**SIZES)),
}
LENGTHS = (7, 7, 7, 1, 1, 3, 260, 260)


def save(folder: Path, kind: str) -> PreTrainedModel:
    torch.manual_seed(3)
    model_class, config = KINDS[kind]
    model = model_class(config).eval()
    with torch.no_grad():  # tiny initial weights would hide a wrong score among equal ones
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return model


def rows() -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(2, 50, (length,), generator=generator).tolist() for length in LENGTHS]


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_of_transformers(tmp_path, monkeypatch, kind):
    model = save(tmp_path, kind)
    config = encoder_config(tmp_path)
    assert config is not None
    packed = PackedEncoder(tmp_path, config, torch.float32)
    inner = model.bert if kind == "with a head" else model
    with torch.no_grad():
        expected = torch.cat([inner(torch.tensor([row])).last_hidden_state[0] for row in rows()])
    torch.testing.assert_close(packed.hidden(rows()), expected, atol=2e-4, rtol=1e-4)
    monkeypatch.setattr(encoder, "SCORES_AT_A_TIME", 4 * 7 * 7)  # one row of seven tokens at a time
    torch.testing.assert_close(packed.hidden(rows()), expected, atol=2e-4, rtol=1e-4)


def test_token_types_are_used(tmp_path):
    model = save(tmp_path, "bert")
    config = encoder_config(tmp_path)
    assert config is not None
    types = [[0] * (length // 2) + [1] * (length - length // 2) for length in LENGTHS]
    packed = PackedEncoder(tmp_path, config, torch.float32)
    with torch.no_grad():
        expected = torch.cat(
            [
                model(torch.tensor([row]), token_type_ids=torch.tensor([kind])).last_hidden_state[0]
                for row, kind in zip(rows(), types, strict=True)
            ]
        )
    torch.testing.assert_close(packed.hidden(rows(), types), expected, atol=2e-4, rtol=1e-4)
    assert (packed.hidden(rows()) - expected).abs().max() > 0.1


def test_the_padded_way_gives_the_same_rows(tmp_path):
    save(tmp_path, "bert")
    config = encoder_config(tmp_path)
    assert config is not None
    padded = PaddedEncoder(tmp_path, torch.float32, torch.device("cpu"))
    expected = PackedEncoder(tmp_path, config, torch.float32).hidden(rows())
    torch.testing.assert_close(padded.hidden(rows()), expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "change", [{"hidden_act": "gelu_new"}, {"is_decoder": True}, {"model_type": "electra"}],
)  # fmt: skip
def test_what_is_computed_otherwise_is_left_to_transformers(tmp_path, change):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert encoder_config(tmp_path) is not None
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"} | change))
    assert encoder_config(tmp_path) is None


def test_relative_buckets_are_those_of_mpnet():
    places = torch.arange(300)
    expected = MPNetEncoder.relative_position_bucket(places[None, :] - places[:, None], num_buckets=32)
    assert torch.equal(relative_bucket(300, 32), expected)
