"""A reward model on disk scores as it did; what is none, or is damaged, is said so."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from sartor.adapters.lora import LoraSettings, add_lora, lora_layers
from sartor.adapters.quantized import is_quantized, quantize_base
from sartor.adapters.reward_store import (
    HEAD,
    HEAD_TENSOR,
    RewardScale,
    head_of,
    is_reward_model,
    load_reward_tensors,
    prepare_base,
    read_reward_settings,
    reward_files,
)
from sartor.adapters.roles import acting, add_role
from sartor.adapters.store import BASE_FILE, SETTINGS_FILE, WEIGHTS_FILE, adapter_files, load_adapter
from sartor.base.errors import DataError
from sartor.data.chat import ChatFormat
from sartor.data.pairs import PairBatch, render_pair, scored
from sartor.data.records import Message, Preference
from sartor.models.forward import use_packed_attention
from sartor.models.scalar_head import ScalarHead
from sartor.train.row_scores import row_scores
from tests import tiny_models

SETTINGS = LoraSettings(rank=3, alpha=5)
SCALE = RewardScale(0.25, 1.5)
FAMILIES = ("llama", "qwen2", "gemma2", "gpt2")


def trained(family: str = "llama", packed: bool = False) -> PreTrainedModel:
    """A reward model whose adapter is not zero."""
    model = use_packed_attention(tiny_models.model(family))
    if packed:
        quantize_base(model)
    add_lora(model, SETTINGS)
    torch.manual_seed(1)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.1)
    model.add_module(HEAD, ScalarHead(32))
    return model


def save(model: PreTrainedModel, folder: Path) -> Path:
    folder.mkdir()
    for name, content in reward_files(model, head_of(model), SETTINGS, "a base", SCALE).items():
        (folder / name).write_bytes(content)
    return folder


def batch_of(kind: str = "chatml") -> PairBatch:
    chat = ChatFormat(tiny_models.tokenizer(kind))
    prompt = [Message(role="user", content="the dog")]
    sides = ("on the mat", "at all"), ("nothing", "the cat sat and said nothing")
    made = [
        Preference(prompt, *([Message(role="assistant", content=text)] for text in (chosen, rejected)))
        for chosen, rejected in sides
    ]
    return PairBatch.of([scored(render_pair(each, chat)) for each in made])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save(trained(), tmp_path / "adapter")


def loaded(folder: Path, family: str = "llama") -> tuple[nn.Module, ScalarHead]:
    """As a role on a base that may have others."""
    model = use_packed_attention(tiny_models.model(family))
    prepare_base(model, folder)
    add_role(model, "policy", LoraSettings(rank=2))
    settings, _, _ = read_reward_settings(folder)
    head = ScalarHead(32)
    load_reward_tensors(add_role(model, "reward", settings), head, folder)
    return model, head


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_saved_reward_model_scores_as_it_did(family: str, packed: bool, tmp_path: Path) -> None:
    model = trained(family, packed)
    batch = batch_of().rows
    folder = save(model, tmp_path / "adapter")
    settings, scale, base = read_reward_settings(folder)
    assert is_reward_model(folder) and (settings.rank, settings.alpha, scale, base) == (3, 5, SCALE, "a base")
    with torch.no_grad():
        expected = row_scores(model, head_of(model), batch)
        again, head = loaded(folder, family)
        assert is_quantized(again) == packed
        with acting(again, "reward"):
            torch.testing.assert_close(row_scores(again, head, batch), expected, rtol=1e-5, atol=1e-6)
        assert (row_scores(again, head, batch) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["chatml", "none"])
def test_peft_and_transformers_read_the_same_rewards_at_the_end_of_turn(family: str, kind: str, tmp_path: Path) -> None:
    """With padding that is the end-of-text token, on the right and on the left. `none` also ends its turns with that
    token, and there transformers' own choice of the place is another token than the last, as TRL #5813 tells."""
    folder = save(trained(family), tmp_path / "adapter")
    tiny_models.model(family).save_pretrained(tmp_path / "base")
    classifier = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "base", num_labels=1, dtype=torch.float32
    )
    theirs = PeftModel.from_pretrained(classifier, folder).eval()
    batch = batch_of(kind)
    chat = ChatFormat(tiny_models.tokenizer(kind))
    rows = rows_of(batch)
    pad = classifier.config.pad_token_id = chat.tokenizer.eos_token_id
    assert pad == chat.tokenizer.pad_token_id
    with torch.no_grad():
        model = trained(family)
        ours = row_scores(model, head_of(model), batch.rows)
        for left in (False, True):
            width = max(map(len, rows))
            ids = torch.tensor([[pad] * (width - len(row)) + row if left else row + [pad] * (width - len(row))
                                for row in rows])  # fmt: skip
            mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) if left
                                 else [1] * len(row) + [0] * (width - len(row)) for row in rows])  # fmt: skip
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            inner = theirs.base_model.model
            states = inner.base_model(input_ids=ids, attention_mask=mask, position_ids=positions).last_hidden_state
            ends = [width - 1 if left else len(row) - 1 for row in rows]
            by_hand = inner.score(states)[range(len(rows)), ends, 0]
            torch.testing.assert_close(ours, by_hand, rtol=1e-4, atol=1e-5)
            pooled = theirs(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, 0]
            if kind == "chatml":
                torch.testing.assert_close(ours, pooled, rtol=1e-4, atol=1e-5)
        without = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=1)
        assert (without(torch.tensor([rows[0]])).logits[0, 0] - ours[0]).abs() > 1e-3


def rows_of(batch: PairBatch) -> list[list[int]]:
    """The tokens of each row, put together again."""
    rows = []
    for end in batch.rows.ends.tolist():
        span = next(each for each in batch.rows.spans if each.start <= end < each.end)
        before = [token for start, stop in span.prefixes for token in batch.rows.ids[start:stop].tolist()]
        rows.append(before + batch.rows.ids[span.start : end + 1].tolist())
    return rows


def test_what_is_no_reward_model_is_told(tmp_path: Path, saved: Path) -> None:
    model = tiny_models.model()
    add_lora(model, SETTINGS)
    plain = tmp_path / "plain"
    plain.mkdir()
    for name, content in adapter_files(model, SETTINGS, "a base").items():
        (plain / name).write_bytes(content)
    assert not is_reward_model(plain) and not is_reward_model(tmp_path)
    with pytest.raises(DataError, match="no reward model") as raised:
        read_reward_settings(plain)
    assert raised.value.hint == "make one with `sartor reward`"
    with pytest.raises(DataError, match="this is a reward model"):
        load_adapter(tiny_models.model(), saved)  # it would answer, and not as it was trained to


def write_json(path: Path, **changed: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_damaged_files_are_told(saved: Path) -> None:
    ours, weights = saved / BASE_FILE, saved / WEIGHTS_FILE
    whole = {path: path.read_bytes() for path in saved.iterdir()}
    for damaged in (b"{", b"\xff\xfe", b""):
        ours.write_bytes(damaged)
        with pytest.raises(DataError, match="not readable"):
            read_reward_settings(saved)
    ours.write_bytes(whole[ours])
    for scale in ({}, {"mean": 0.0}, {"mean": 0.0, "deviation": 1.0, "more": 2}, 3, None, {"mean": "x", "deviation": 1},
                  {"mean": 0.0, "deviation": 0.0}, {"mean": 0.0, "deviation": float("nan")}):  # fmt: skip
        write_json(ours, reward=scale)
        with pytest.raises(DataError, match="reward's scale"):
            read_reward_settings(saved)
    ours.write_bytes(whole[ours])
    (saved / SETTINGS_FILE).write_text("{")
    with pytest.raises(DataError, match="cannot read the adapter's settings"):
        read_reward_settings(saved)
    (saved / SETTINGS_FILE).write_bytes(whole[saved / SETTINGS_FILE])

    tensors = load_file(weights)
    save_file({name: tensor for name, tensor in tensors.items() if name != HEAD_TENSOR}, weights)
    with pytest.raises(DataError, match="no scoring head that fits"):
        loaded(saved)
    save_file({**tensors, HEAD_TENSOR: torch.zeros(1, 31)}, weights)
    with pytest.raises(DataError, match="no scoring head that fits"):
        loaded(saved)
    missing = sorted(tensors)[0]
    save_file({name: tensor for name, tensor in tensors.items() if name != missing}, weights)
    with pytest.raises(DataError, match="1 tensors missing"):
        loaded(saved)
    weights.write_bytes(whole[weights][: len(whole[weights]) // 2])
    with pytest.raises(DataError):
        loaded(saved)
    weights.write_bytes(whole[weights])
    loaded(saved)


def test_the_head_is_in_the_file_by_pefts_name(saved: Path) -> None:
    tensors = load_file(saved / WEIGHTS_FILE)
    assert HEAD_TENSOR == "base_model.model.score.weight" and tensors[HEAD_TENSOR].shape == (1, 32)
    settings = json.loads((saved / SETTINGS_FILE).read_text())
    assert settings["task_type"] == "SEQ_CLS" and settings["modules_to_save"] == ["score"]
