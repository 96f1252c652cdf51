"""Rows with different adapters, and with none, run in one batch and say what each says alone."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sartor.adapters.lora import LoraSettings, add_lora, lora_layers
from sartor.adapters.row_adapters import RowAdapters
from sartor.adapters.store import BASE_FILE, QUANTIZATION, WEIGHTS_FILE, adapter_files, load_adapter
from sartor.base.errors import DataError, UsageError
from sartor.generation.events import Event
from sartor.generation.protocol import Sampling
from tests import tiny_models
from tests.generation.engine_helpers import engine_for, events_of, prompts, same, tokens_of

NEW = 10
SETTINGS = {
    "all": LoraSettings(4, 8.0),
    "wide": LoraSettings(8, 32.0, rank_stabilized=True),
    "few": LoraSettings(2, 8.0, targets=("q_proj", "down_proj")),
}
GPT2_FEW = LoraSettings(2, 8.0, targets=("c_attn",))


def adapter(folder: Path, family: str, settings: LoraSettings, seed: int) -> Path:
    """A folder with a random adapter that changes what the tiny model says."""
    model = tiny_models.model(family, seed=2)
    layers = add_lora(model, settings)
    numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in layers.values():
            layer.lora_B.normal_(std=0.3, generator=numbers)
    folder.mkdir()
    for name, content in adapter_files(model, settings, "base").items():
        (folder / name).write_bytes(content)
    return folder


def adapters(folder: Path, family: str) -> dict[str, Path]:
    settings = {**SETTINGS, "few": GPT2_FEW} if family == "gpt2" else SETTINGS
    return {name: adapter(folder / name, family, each, seed) for seed, (name, each) in enumerate(settings.items())}


def alone(family: str, folder: Path | None, prompt: list[int], sampling: Sampling) -> list[Event]:
    """What a model says that has this adapter only."""
    model = tiny_models.model(family, seed=2)
    if folder is not None:
        load_adapter(model, folder)
    engine = engine_for(model)
    return events_of(engine, [engine.add(prompt, sampling)])[0]


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize("live", [False, True])
def test_rows_of_several_adapters_and_of_the_base_say_what_each_says_alone(
    tmp_path: Path, family: str, live: bool
) -> None:
    folders = adapters(tmp_path, family)
    engine = engine_for(tiny_models.model(family, seed=2), live=live, kept_tokens=500, max_rows=6)
    for name, folder in folders.items():
        engine.add_adapter(name, folder)
    # All prompts begin alike: what is kept of one adapter's must not serve another's.
    given = prompts([5, 12, 7, 20, 3, 9, 6, 11], shared=30)
    names = [None, "all", "few", "wide", "few", None, "all", "wide"]
    samplings = [Sampling(NEW - index % 3, temperature=index % 2, seed=index) for index in range(8)]
    wanted = [
        alone(family, folders[name] if name else None, prompt, each)
        for name, prompt, each in zip(names, given, samplings, strict=True)
    ]
    numbers = [
        engine.add(prompt, each, adapter=name) for name, prompt, each in zip(names, given, samplings, strict=True)
    ]
    for got, expected in zip(events_of(engine, numbers), wanted, strict=True):
        same(got, expected)
    # Alone in the engine, too, where all tokens have the same adapter.
    for index in (0, 1, 2):
        number = engine.add(given[index], samplings[index], adapter=names[index])
        same(events_of(engine, [number])[0], wanted[index])
    said = [
        tokens_of(events_of(engine, [engine.add(given[0], Sampling(NEW), adapter=name)])[0])
        for name in (None, *folders)
    ]
    assert len({tuple(tokens) for tokens in said}) == len(said)  # the adapters do change what is said


def test_a_shared_beginning_is_computed_with_the_batchs_adapter(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a", "llama", SETTINGS["all"], 0)
    engine = engine_for(tiny_models.model(seed=2))
    engine.add_adapter("a", folder)
    given = prompts([4, 9], shared=20)
    engine.share(given[0][:20], "a")
    numbers = [engine.add(prompt, Sampling(NEW), adapter="a") for prompt in given]
    for prompt, got in zip(given, events_of(engine, numbers), strict=True):
        same(got, alone("llama", folder, prompt, Sampling(NEW)))
    with pytest.raises(DataError, match="shared prefix"):
        engine.add(given[0], Sampling(NEW))


def test_what_cannot_share_a_base_is_refused(tmp_path: Path) -> None:
    decomposed = adapter(tmp_path / "dora", "llama", LoraSettings(4, 8.0, weight_decomposed=True), 0)
    plain = adapter(tmp_path / "plain", "llama", SETTINGS["all"], 0)
    model = tiny_models.model(seed=2)
    rows = RowAdapters(model)
    with pytest.raises(UsageError, match="DoRA"):
        rows.add("a", decomposed)
    own = tiny_models.model(seed=2)
    add_lora(own, SETTINGS["all"])
    with pytest.raises(UsageError, match="of its own"):
        RowAdapters(own).add("a", plain)
    broken = adapter(tmp_path / "broken", "llama", SETTINGS["all"], 0)
    tensors = load_file(broken / WEIGHTS_FILE)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, broken / WEIGHTS_FILE)
    with pytest.raises(DataError, match="no numbers"):
        rows.add("a", broken)
    with pytest.raises(DataError, match="does not fit"):
        RowAdapters(tiny_models.model(seed=2, layers=1)).add("a", plain)
    (plain / BASE_FILE).write_text(json.dumps({"base_quantization": QUANTIZATION}))
    with pytest.raises(UsageError, match="4-bit"):
        rows.add("a", plain)
    assert len(rows) == 0 and not lora_layers(model)
    with pytest.raises(DataError, match="no adapter b"):
        engine_for(model).add([5], Sampling(1), adapter="b")
