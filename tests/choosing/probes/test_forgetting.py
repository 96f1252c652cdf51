"""How likely general sentences are to a model, against an independent computation, and before against after."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from sartor.choosing.probes.forgetting import (
    QUESTIONS,
    TEXTS,
    GeneralKnowledge,
    forgetting,
    general_knowledge,
    log_likelihoods,
    measure_knowledge,
)  # fmt: skip
from sartor.generation.local import LocalModel
from sartor.models.hub import locate
from tests import tiny_folders


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    folder = tiny_folders.language_model(tmp_path_factory.mktemp("model") / "language")
    return LocalModel.open(locate(folder), torch.float32)


def plain(model: LocalModel, beginning: str, continuation: str) -> float:
    """By one forward pass of transformers' own, without packing or batches."""
    tokenizer = model.chat.tokenizer
    before, ids = tokenizer.encode(beginning), tokenizer.encode(beginning + continuation)
    known = next((at for at, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), len(before))
    assert model.location is not None
    own = AutoModelForCausalLM.from_pretrained(model.location.folder, dtype=torch.float32)
    with torch.inference_mode():
        log_probs = own(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return sum(float(log_probs[at - 1, ids[at]]) for at in range(max(known, 1), len(ids)))


def test_likelihoods_are_those_of_transformers(model: LocalModel) -> None:
    pairs = [
        ("The capital of France is", " Paris"),
        ("Two plus", " three"),
        ("", "Rain falls.\n\nIt is wet."),
        ("A", "B"),
    ]
    found = log_likelihoods(model, pairs)
    assert found == pytest.approx([plain(model, *pair) for pair in pairs], abs=2e-4)
    assert model.engine.live and not model.engine.has_work


def test_measuring_twice_gives_the_same(model: LocalModel) -> None:
    first = measure_knowledge(model)
    assert first == measure_knowledge(model)
    assert len(first.right) == 72 and len(first.bits) == len(first.sizes) == 24
    assert 2 < first.bits_per_byte < 12  # a random model: about 8 bits
    assert 0.05 < sum(first.right) / 72 < 0.55  # and about a quarter of the completions


def test_kept_by_the_weights(model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = general_knowledge(model, "abc", tmp_path)
    monkeypatch.setattr(model, "engine", None)
    assert general_knowledge(model, "abc", tmp_path) == first
    with pytest.raises(AttributeError):
        general_knowledge(model, "other", tmp_path)


def test_what_was_lost() -> None:
    before = GeneralKnowledge([1.0] * 60 + [0.0] * 12, [100.0] * 24, [100] * 24)
    after = GeneralKnowledge([1.0] * 48 + [0.0] * 24, [150.0] * 24, [100] * 24)
    found = forgetting(before, after)
    assert found["general_before"] == pytest.approx(60 / 72) and found["general_after"] == pytest.approx(48 / 72)
    low, high = found["ci"]
    assert low < -12 / 72 < high < 0
    assert (found["bits_per_byte_before"], found["bits_per_byte_after"]) == (1.0, 1.5)
    assert found["bits_ci"] == pytest.approx([0.5, 0.5])  # every text lost the same
    assert found["n"] == 72 and sum(found["lost"].values()) == 12


def test_the_material_is_whole() -> None:
    rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 72 and len({row["text"] for row in rows}) == 72
    for row in rows:
        endings = [row["right"], *row["wrong"]]
        assert len(set(endings)) == 4 and all(endings) and row["text"].strip() == row["text"]
    kinds = [row["kind"] for row in rows]
    assert all(kinds.count(kind) == 8 for kind in kinds)
    texts = [json.loads(line)["text"] for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    assert 4000 < sum(len(text.encode()) for text in texts) < 6000
