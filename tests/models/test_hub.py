"""Names to model folders: what is found, what is refused, and why, without a network."""

import json
import os
import subprocess
import sys

import pytest
import torch
from transformers import Gemma3TextConfig, LlamaConfig, LlamaForCausalLM

from sartor.base.errors import DataError, SartorError, UsageError
from sartor.models import hub
from sartor.models.gguf_folder import convert_gguf
from sartor.models.hub import (
    ModelLocation,
    context_tokens,
    lasting_name,
    load_model,
    load_tokenizer,
    locate,
    resolve,
)


@pytest.fixture
def model(tiny_gguf, tmp_path):
    """A whole, tiny model folder."""
    folder = tmp_path / "model-folder"
    folder.mkdir()
    convert_gguf(tiny_gguf, folder, "tiny")
    return folder


def put_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def test_a_local_folder_is_itself(model):
    assert locate(str(model)) == ModelLocation(str(model), model)
    assert resolve(model) == model


def test_a_run_folder_is_its_model_or_its_adapter_on_a_base(model, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    model.rename(run / "model")
    assert resolve(run) == run / "model"
    tuned = tmp_path / "tuned"
    put_json(tuned / "adapter" / "adapter_config.json", {"base_model_name_or_path": str(run)})
    assert locate(tuned) == ModelLocation(str(tuned), run / "model", tuned / "adapter")
    assert locate(tuned / "adapter").adapter == tuned / "adapter"
    with pytest.raises(UsageError, match="is an adapter"):
        resolve(tuned)
    put_json(tmp_path / "second" / "adapter_config.json", {"base_model_name_or_path": str(tuned)})
    with pytest.raises(DataError, match="itself an adapter"):
        locate(tmp_path / "second")
    put_json(tmp_path / "third" / "adapter_config.json", {})
    with pytest.raises(DataError, match="base_model_name_or_path: no base model is named"):
        locate(tmp_path / "third")


def test_the_starter_is_known_by_name(monkeypatch, model):
    monkeypatch.setattr(hub, "fetch", lambda name: model)
    assert locate("starter") == ModelLocation("starter", model)


@pytest.mark.parametrize("name", ["./none", "a b", "org/model/more", "/none/there", "~/none", ""])
def test_what_cannot_be_a_name_is_refused_without_asking_the_hub(monkeypatch, name):
    monkeypatch.setattr(hub, "snapshot_download", lambda *args, **options: pytest.fail("asked the Hub"))
    with pytest.raises((UsageError, DataError)):
        locate(name)


def test_a_slip_of_the_starters_name_is_pointed_at():
    with pytest.raises(UsageError, match="did you mean `starter`"):
        locate("startr")


def test_a_file_is_not_a_model(model):
    with pytest.raises(UsageError, match="is a file"):
        locate(model / "config.json")


def test_pickle_weights_are_refused_by_name(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"pickle \(pytorch_model.bin\)"):
        locate(model)
    with pytest.raises(DataError, match="pickle"):
        load_model(model, torch.float32)


def test_missing_parts_are_named(model):
    (model / "model.safetensors").unlink()
    with pytest.raises(DataError, match="model.safetensors is missing"):
        locate(model)
    put_json(
        model / "model.safetensors.index.json",
        {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}},
    )
    (model / "one.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="two.safetensors is missing"):
        locate(model)
    put_json(model / "model.safetensors.index.json", {"weight_map": {"a": "../../etc/passwd"}})
    with pytest.raises(DataError, match="weight_map"):
        locate(model)
    (model / "config.json").unlink()
    with pytest.raises(DataError, match="no config.json"):
        locate(model)


def test_code_that_comes_with_a_model_is_refused_by_name_or_left_alone(model, tmp_path):
    (model / "modeling_evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    config = json.loads((model / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Config"}
    put_json(model / "config.json", config)
    assert type(load_model(locate(model).folder, torch.float32)).__name__ == "LlamaForCausalLM"
    put_json(model / "config.json", {**config, "model_type": "evil"})
    with pytest.raises(DataError, match="code of its own \\(modeling_evil.Evil\\)"):
        locate(model)
    assert not (tmp_path / "ran").exists()


def test_tokenizer_code_is_refused_by_name(model):
    (model / "tokenizer.json").unlink()
    put_json(model / "tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}})
    with pytest.raises(DataError, match="evil.Tokenizer"):
        locate(model)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 64, b"\x10" + b"\0" * 7 + b'{"a":{"dtype":1}'],
    ids=["empty", "huge header", "odd header"],
)
def test_damaged_weights_are_a_data_error(model, content):
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="cannot be loaded"):
        load_model(model, torch.float32)


def test_weights_that_are_missing_or_misshapen_are_not_left_random(tmp_path, model):
    config = json.loads((model / "config.json").read_text())
    put_json(model / "config.json", {**config, "num_hidden_layers": 3})
    with pytest.raises(DataError, match="weights are missing"):
        load_model(model, torch.float32)
    put_json(model / "config.json", {**config, "intermediate_size": 32})
    with pytest.raises(DataError):
        load_model(model, torch.float32)


def test_a_model_is_loaded_frozen_in_the_given_type_with_the_saved_values(tmp_path):
    torch.manual_seed(0)
    made = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
        )  # fmt: skip
    )
    made.save_pretrained(tmp_path, max_shard_size="5KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    loaded = load_model(resolve(tmp_path), torch.bfloat16, attention="eager")
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    assert loaded.config._attn_implementation == "eager"
    for name, tensor in made.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.bfloat16())


def test_a_damaged_tokenizer_is_a_data_error(model):
    (model / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match="tokenizer cannot be loaded"):
        load_tokenizer(model)


def test_a_tokenizer_of_a_later_version_is_a_data_error(model):
    settings = json.loads((model / "tokenizer.json").read_text())
    put_json(model / "tokenizer.json", settings | {"model": {"type": "Unheard"}})
    with pytest.raises(DataError, match="tokenizer cannot be loaded") as caught:
        load_tokenizer(model)
    assert "newer" in str(caught.value)


def test_what_a_model_reads_is_found_beside_what_it_sees_also_where_it_is_its_types_own(model):
    assert context_tokens(model) == json.loads((model / "config.json").read_text())["max_position_embeddings"]
    put_json(model / "config.json", {"model_type": "gemma3", "text_config": {"max_position_embeddings": 99}})
    assert context_tokens(model) == 99
    put_json(model / "config.json", {"model_type": "gemma3", "text_config": {"hidden_size": 32}})
    assert context_tokens(model) == Gemma3TextConfig().max_position_embeddings
    put_json(model / "config.json", {"model_type": "llama"})
    with pytest.raises(DataError, match="does not say how many tokens"):
        context_tokens(model)


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_hub_id_without_a_network_is_one_line(tmp_path, offline):
    """In a process of its own, because the Hub library reads its settings when it is imported."""
    program = (
        "from sartor.models.hub import locate\nfrom sartor.base.errors import SartorError\n"
        "try:\n    locate('org/model')\nexcept SartorError as error:\n    print(error.exit_code, error.what)"
    )
    settings = {"HF_HUB_OFFLINE": offline, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert result.stdout == "1 there is no folder org/model, and the Hub cannot be reached\n"


def test_a_snapshot_in_the_hub_cache_needs_no_network(monkeypatch, model):
    calls = []

    def snapshot(name, **options):
        calls.append((name, options))
        return str(model)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    assert locate("org/model").folder == model
    assert calls == [("org/model", {"local_files_only": True})]


def test_only_safe_files_are_asked_for(monkeypatch, model):
    asked = {}

    def snapshot(name, **options):
        if options.get("local_files_only"):
            raise hub.hub_errors.LocalEntryNotFoundError("not in the cache")
        asked.update(options)
        return str(model)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    assert resolve("org/model") == model
    assert not {"*.bin", "*.pt", "*.py", "*"} & set(asked["allow_patterns"])


def test_errors_are_told_apart(monkeypatch):
    def failing(error):
        def snapshot(name, **options):
            raise hub.hub_errors.LocalEntryNotFoundError("x") if options.get("local_files_only") else error

        monkeypatch.setattr(hub, "snapshot_download", snapshot)
        with pytest.raises(SartorError) as caught:
            locate("org/model")
        return caught.value

    full = failing(OSError(28, "No space left on device"))
    assert "cannot store the model org/model: No space left" in full.what
    assert failing(ConnectionError("refused")).what.endswith("the Hub cannot be reached")


def test_a_local_folder_is_kept_by_its_whole_path(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert lasting_name("model") == str((tmp_path / "model").resolve())
    assert lasting_name("starter") == "starter" and lasting_name("owner/model") == "owner/model"
