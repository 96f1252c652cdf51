"""Our LoRA is PEFT's: same files, same logits, same gradients; merged it is the same function."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from sartor.adapters.lora import LoraSettings, adapters_off, add_lora, lora_layers
from sartor.adapters.merge import merge_lora
from sartor.adapters.store import adapter_files, load_adapter, read_settings
from sartor.base.errors import DataError, UsageError
from tests import tiny_models
from tests.adapters.peft_parity import assert_equal_logits_and_gradients

IDS = torch.randint(10, tiny_models.VOCABULARY, (2, 15), generator=torch.Generator().manual_seed(3))
FAMILIES = ("llama", "qwen3", "gemma2", "gpt2")


def trained(family: str, settings: LoraSettings) -> torch.nn.Module:
    """A model whose adapter is not zero."""
    model = tiny_models.model(family)
    add_lora(model, settings)
    torch.manual_seed(1)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.1)
    return model


def save(model: torch.nn.Module, settings: LoraSettings, folder: Path) -> Path:
    folder.mkdir()
    for name, content in adapter_files(model, settings, "base").items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rank_stabilized", [False, True])
def test_peft_loads_our_adapter_with_equal_logits(family: str, rank_stabilized: bool, tmp_path: Path) -> None:
    settings = LoraSettings(rank=4, alpha=8, rank_stabilized=rank_stabilized)
    model = trained(family, settings)
    base = tiny_models.model(family)
    theirs = PeftModel.from_pretrained(base, save(model, settings, tmp_path / "adapter"))
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, theirs(IDS).logits, rtol=1e-5, atol=1e-5)
        plain = tiny_models.model(family)(IDS).logits
        assert (model(IDS).logits - plain).abs().max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_we_load_pefts_adapter_with_equal_logits_and_gradients(family: str, tmp_path: Path) -> None:
    names = sorted({name.split(".")[-1] for name in lora_layers(trained(family, LoraSettings(rank=4)))})
    theirs = get_peft_model(
        tiny_models.model(family),
        LoraConfig(r=4, lora_alpha=8, target_modules=names, init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    theirs.save_pretrained(tmp_path)
    ours = tiny_models.model(family)
    load_adapter(ours, tmp_path)
    ours.train()
    assert_equal_logits_and_gradients(ours, theirs, IDS, 1e-5, 1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_equals_adapter(family: str) -> None:
    model = trained(family, LoraSettings(rank=4))
    with torch.no_grad():
        before = model(IDS).logits
        merge_lora(model)
        assert not lora_layers(model)
        torch.testing.assert_close(model(IDS).logits, before, rtol=1e-4, atol=1e-5)


def test_adapters_off_is_the_base_model() -> None:
    model = trained("llama", LoraSettings(rank=4))
    with torch.no_grad(), adapters_off(model):
        torch.testing.assert_close(model(IDS).logits, tiny_models.model("llama")(IDS).logits)


def test_answers_follow_the_weights_when_they_change() -> None:
    """Converted weights are kept between tokens; they must not outlive an update."""
    model = trained("llama", LoraSettings(rank=4)).eval()
    with torch.inference_mode():
        before = model(IDS).logits.clone()
    with torch.no_grad():
        for layer in lora_layers(model).values():
            layer.lora_B.mul_(2)
    with torch.inference_mode():
        assert not torch.allclose(model(IDS).logits, before)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            layer.lora_B.mul_(0.5)
    with torch.inference_mode():
        torch.testing.assert_close(model(IDS).logits, before)


def test_dropout_is_off_in_evaluation_and_scaled_in_training() -> None:
    model = trained("llama", LoraSettings(rank=4, dropout=0.5))
    with torch.no_grad():
        expected = trained("llama", LoraSettings(rank=4))(IDS).logits
        torch.testing.assert_close(model(IDS).logits, expected)
    model.train()
    torch.manual_seed(0)
    first = model(IDS).logits
    assert not torch.allclose(first, model(IDS).logits)
    first.sum().backward()
    assert all(layer.lora_A.grad is not None for layer in lora_layers(model).values())


@pytest.mark.parametrize("beginning", [True, "gaussian", "orthogonal", "mica", "pissa", "olora"])
def test_an_adapter_says_what_it_says_in_peft_or_is_refused(beginning: str | bool, tmp_path: Path) -> None:
    """Some ways to begin change the base when the adapter is put on it, which is in none of the adapter's files."""
    settings = LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], init_lora_weights=beginning, task_type="CAUSAL_LM"
    )
    theirs = get_peft_model(tiny_models.model(), settings).eval()
    theirs.save_pretrained(tmp_path)
    ours = tiny_models.model()
    if beginning in ("pissa", "olora"):
        with pytest.raises(DataError, match=f"began as {beginning}"):
            load_adapter(ours, tmp_path)
        return
    load_adapter(ours, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(ours(IDS).logits, theirs(IDS).logits, rtol=1e-5, atol=1e-5)


def test_an_adapter_for_another_model_is_refused(tmp_path: Path) -> None:
    settings = LoraSettings(rank=4)
    folder = save(trained("llama", settings), settings, tmp_path / "adapter")
    with pytest.raises(DataError, match="does not fit"):
        load_adapter(tiny_models.model("llama", layers=3), folder)
    with pytest.raises(UsageError, match="c_attn|no linear layer is called"):
        load_adapter(tiny_models.model("gpt2"), folder)


def test_unknown_targets_are_named() -> None:
    with pytest.raises(UsageError, match="qproj"):
        add_lora(tiny_models.model("llama"), LoraSettings(targets=("qproj", "v_proj")))


@pytest.mark.parametrize(
    "other",
    [
        {"peft_type": "IA3"}, {"bias": "all"}, {"rank_pattern": {"q_proj": 2}}, {"init_lora_weights": "pissa_niter_4"},
        {"init_lora_weights": "olora"}, {"init_lora_weights": "loftq"},
    ],
)  # fmt: skip
def test_adapters_we_cannot_compute_are_refused(other: dict[str, object], tmp_path: Path) -> None:
    raw = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(raw))
    assert read_settings(tmp_path)[0].rank == 4
    (tmp_path / "adapter_config.json").write_text(json.dumps(raw | other))
    with pytest.raises(DataError, match="can be loaded|cannot be loaded"):
        read_settings(tmp_path)
