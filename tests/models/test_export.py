"""Hub-layout folders: transformers reads them, and finds the model that was given."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel

from sartor.adapters.lora import LoraSettings, add_lora
from sartor.base.durable import replace_folder, size_of
from sartor.models.export import INDEX_FILE, WEIGHTS_FILE, head_is_tied, model_files, tokenizer_files
from sartor.models.hub import load_model
from tests import tiny_models

IDS = torch.arange(10, 60)[None]


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny_models.tokenizer("llama3").save_pretrained(folder)
    GenerationConfig(eos_token_id=[0, 4], max_length=99).save_pretrained(folder)
    (folder / "LICENSE.txt").write_text("as you like")
    (folder / "optimizer.pt").write_text("not part of a model")
    return folder


def written(model: PreTrainedModel, base_folder: Path, out: Path, **options: Any) -> Path:
    replace_folder(out, model_files(model, base_folder, **options))
    return out


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_every_family_comes_back_the_same(family: str, base_folder: Path, tmp_path: Path) -> None:
    model = tiny_models.model(family)
    folder = written(model, base_folder, tmp_path / "out")
    again = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert again.dtype == torch.float32 and type(again) is type(model)
    with torch.no_grad():
        assert torch.equal(again(IDS).logits, model(IDS).logits)
    ours = load_model(folder, torch.float32)
    assert ours.state_dict().keys() == model.state_dict().keys()


def test_tied_heads_are_stored_once_and_stay_tied(base_folder: Path, tmp_path: Path) -> None:
    model = tiny_models.model("gemma2")
    assert head_is_tied(model)
    folder = written(model, base_folder, tmp_path / "tied")
    assert "lm_head.weight" not in load_file(folder / WEIGHTS_FILE)
    assert head_is_tied(load_model(folder, torch.float32))


def test_a_head_that_was_untied_is_stored(base_folder: Path, tmp_path: Path) -> None:
    """As after full training with separate weights, whatever the config once said."""
    model = tiny_models.model("gemma2")
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach() * 2)
    folder = written(model, base_folder, tmp_path / "untied")
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is False
    again = load_model(folder, torch.float32)
    with torch.no_grad():
        assert torch.equal(again(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_are_rounded_once_and_the_config_says_so(dtype: torch.dtype, base_folder: Path, tmp_path: Path) -> None:
    model = tiny_models.model()
    folder = written(model, base_folder, tmp_path / "out", dtype=dtype)
    config = json.loads((folder / "config.json").read_text())
    assert config["dtype"] == str(dtype).removeprefix("torch.")
    assert config["architectures"] == ["LlamaForCausalLM"]
    for name, tensor in load_file(folder / WEIGHTS_FILE).items():
        assert torch.equal(tensor, model.state_dict()[name].to(dtype)), name
    assert model.dtype == torch.float32  # the live model is left as it was


def test_large_models_are_cut_into_files_with_an_index(base_folder: Path, tmp_path: Path) -> None:
    model = tiny_models.model()
    files = model_files(model, base_folder, shard_bytes=40_000)
    shards = {name: size_of(content) for name, content in files.items() if name.endswith(".safetensors")}
    assert len(shards) > 2 and sum(shards.values()) == 4 * model.num_parameters()
    largest = 4 * max(parameter.numel() for parameter in model.parameters())
    assert max(shards.values()) <= max(40_000, largest)
    folder = written(model, base_folder, tmp_path / "out", shard_bytes=40_000)
    index = json.loads((folder / INDEX_FILE).read_text())
    assert index["metadata"]["total_size"] == 4 * model.num_parameters()
    assert index["weight_map"].keys() == model.state_dict().keys()
    for name, shard in index["weight_map"].items():
        with safe_open(folder / shard, "pt") as stored:
            assert name in stored.keys()  # noqa: SIM118
    with torch.no_grad():
        assert torch.equal(load_model(folder, torch.float32)(IDS).logits, model(IDS).logits)


def test_what_belongs_to_the_base_comes_along_and_nothing_else(base_folder: Path, tmp_path: Path) -> None:
    folder = written(tiny_models.model(), base_folder, tmp_path / "out")
    names = {path.name for path in folder.iterdir()}
    assert {"LICENSE.txt", "generation_config.json", "tokenizer.json", "config.json"} <= names
    assert "optimizer.pt" not in names
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == tiny_models.LLAMA3 and tokenizer.bos_token == "<|begin|>"
    assert GenerationConfig.from_pretrained(folder).eos_token_id == [0, 4]
    assert "LICENSE.txt" not in tokenizer_files(base_folder) and "tokenizer.json" in tokenizer_files(base_folder)


def test_older_readers_find_the_angles_of_positions(base_folder: Path, tmp_path: Path) -> None:
    model = tiny_models.model()
    model.config.rope_parameters = {
        "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }  # fmt: skip
    folder = written(model, base_folder, tmp_path / "out")
    config = json.loads((folder / "config.json").read_text())
    assert config["rope_theta"] == 5e5
    assert config["rope_scaling"]["rope_type"] == "llama3" and config["rope_scaling"]["factor"] == 8.0
    again = load_model(folder, torch.float32)
    assert again.config.rope_parameters == model.config.rope_parameters


def test_a_model_with_an_adapter_on_it_is_refused(base_folder: Path) -> None:
    model = tiny_models.model()
    add_lora(model, LoraSettings(rank=2))
    with pytest.raises(ValueError, match="merge it"):
        model_files(model, base_folder)
