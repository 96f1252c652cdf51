"""Adapters on disk, in PEFT's layout, so that every tool of the field can read them (and we theirs).

An adapter that was trained on a 4-bit base says so in a file of ours next to PEFT's two, and gets that base again.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn
from transformers import PreTrainedModel

from sartor.adapters.lora import LoraLinear, LoraSettings, add_lora, lora_layers
from sartor.adapters.quantized import QUANTIZATION, QuantizedLinear, is_quantized, quantize_base
from sartor.base.errors import DataError
from sartor.base.tensor_file import read_tensors

WEIGHTS_FILE = "adapter_model.safetensors"
SETTINGS_FILE = "adapter_config.json"
BASE_FILE = "sartor.json"
PREFIX = "base_model.model."
DAMAGED_HINT = "copy the adapter again: a file is damaged or missing"
NOT_COMPUTED = (
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "layers_to_transform",
    "layer_replication",
    "trainable_token_indices",
    "alora_invocation_tokens",
)
BASE_IS_KEPT = ("gaussian", "eva", "orthogonal", "mica")  # PEFT's ways to begin that leave the base as it is
MERGE_HINT = "merge it into its base with the tool it was made with, and name the merged model"


def adapter_tensors(layers: dict[str, LoraLinear]) -> dict[str, torch.Tensor]:
    """Everything trained in the layers by PEFT's name for it."""
    named = _by_peft_name(layers)
    return {name: parameter.detach().cpu().contiguous() for name, parameter in named.items()}


def _by_peft_name(layers: dict[str, LoraLinear]) -> dict[str, nn.Parameter]:
    named = {}
    for name, layer in layers.items():
        named[f"{PREFIX}{name}.lora_A.weight"] = layer.lora_A
        named[f"{PREFIX}{name}.lora_B.weight"] = layer.lora_B
        if layer.magnitude is not None:
            named[f"{PREFIX}{name}.lora_magnitude_vector"] = layer.magnitude.weight
    return named


def load_adapter_tensors(
    layers: dict[str, LoraLinear], tensors: dict[str, torch.Tensor], where: str = "adapter"
) -> None:
    """Put saved tensors into the layers. DataError when a name is missing, left over or has another shape:
    an adapter that loads but does nothing is worse than none."""
    wanted = _by_peft_name(layers)
    missing, unused = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing or unused:
        example = (missing or unused)[0]
        raise DataError(
            f"adapter does not fit this model: {len(missing)} tensors missing, {len(unused)} unused "
            f"(such as {example})",
            where=where,
            hint="load it on the base model it was trained on",
        )
    for name, parameter in wanted.items():
        if parameter.shape != tensors[name].shape:
            raise DataError(
                f"{name} has shape {list(tensors[name].shape)}, the model needs {list(parameter.shape)}",
                where=where,
                hint="load it on the base model it was trained on",
            )
        with torch.no_grad():
            parameter.copy_(tensors[name])


def adapter_settings(layers: dict[str, LoraLinear], settings: LoraSettings, base: str) -> dict[str, Any]:
    """PEFT's adapter_config.json."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "use_rslora": settings.rank_stabilized,
        "use_dora": settings.weight_decomposed,
        "bias": "none",
        "fan_in_fan_out": any(_came_transposed(layer) for layer in layers.values()),
        "target_modules": sorted({name.split(".")[-1] for name in layers}),
    }


def _came_transposed(layer: LoraLinear) -> bool:
    return layer.base.transposed if isinstance(layer.base, QuantizedLinear) else layer.transposed


def adapter_files(
    model: nn.Module, settings: LoraSettings, base: str, layers: dict[str, LoraLinear] | None = None
) -> dict[str, bytes]:
    """The files by name of the folder of the model's adapter, or of the one in `layers` where it has several."""
    layers = lora_layers(model) if layers is None else layers
    text = json.dumps(adapter_settings(layers, settings, base), indent=2)
    files = {WEIGHTS_FILE: save(adapter_tensors(layers)), SETTINGS_FILE: text.encode()}
    if is_quantized(model):
        files[BASE_FILE] = json.dumps({"base_quantization": QUANTIZATION}, indent=2).encode()
    return files


def read_settings(folder: Path) -> tuple[LoraSettings, str]:
    """LoRA settings and the base model's name from a PEFT adapter folder. DataError for kinds we do not compute."""
    return parse_settings(folder)


def parse_settings(folder: Path, but: tuple[str, ...] = ()) -> tuple[LoraSettings, str]:
    """`read_settings` for a caller that computes what the keys in `but` ask for."""
    path = folder / SETTINGS_FILE
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the adapter's settings: {error}", where=str(path), hint=DAMAGED_HINT) from None
    if raw.get("peft_type") != "LORA" or raw.get("bias", "none") != "none":
        raise DataError(
            "only LoRA and DoRA adapters without trained biases can be loaded", where=str(path), hint=MERGE_HINT
        )
    if raw.get("task_type") == "SEQ_CLS" and not but:
        raise DataError(
            "this is a reward model: it scores answers and writes none",
            where=str(folder),
            hint="train a policy with it: sartor ppo PROMPTS --reward RUN",
        )
    for key in NOT_COMPUTED:
        if raw.get(key) and key not in but:
            raise DataError(f"adapters with {key} cannot be loaded", where=str(path), hint=MERGE_HINT)
    beginning = raw.get("init_lora_weights", True)
    if isinstance(beginning, str) and beginning.lower() not in BASE_IS_KEPT:
        raise DataError(
            f"adapters that began as {beginning} change the weights of their base, and cannot be loaded",
            where=f"{path}, init_lora_weights",
            hint=f"{MERGE_HINT}; or convert it with PEFT's path_initial_model_for_weight_conversion",
        )
    targets = raw["target_modules"]
    if isinstance(targets, str):
        raise DataError(
            f"target_modules is the pattern {targets!r}; only lists of names can be loaded",
            where=str(path),
            hint="write the names of the adapted layers as a list",
        )
    settings = LoraSettings(
        rank=raw["r"],
        alpha=raw["lora_alpha"],
        dropout=raw.get("lora_dropout", 0.0),
        rank_stabilized=raw.get("use_rslora", False),
        targets=tuple(targets),
        weight_decomposed=raw.get("use_dora", False),
    )
    return settings, raw.get("base_model_name_or_path", "")


def trained_on_quantized(folder: Path) -> bool:
    """Whether the adapter's base was packed in 4 bits when it was trained. DataError for a packing that is not ours,
    or a damaged file."""
    path = folder / BASE_FILE
    if not path.is_file():
        return False
    try:
        ours = json.loads(path.read_text())
        recorded = ours.get("base_quantization")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"cannot read how the base was packed: {error}", where=str(path), hint=DAMAGED_HINT) from None
    if recorded is None and "reward" in ours:
        return False
    if recorded != QUANTIZATION:
        raise DataError(
            f"the base was packed as {recorded}",
            where=f"{path}, base_quantization",
            hint=f"only {QUANTIZATION} can be loaded: train the adapter again, or use the version that made it",
        )
    return True


def load_adapter(model: PreTrainedModel, folder: Path) -> LoraSettings:
    """Add the adapter of `folder` to the model, in place; the base is packed in 4 bits first if it was in training, so
    that what answers is what was trained."""
    settings, _ = read_settings(folder)
    path = folder / WEIGHTS_FILE
    tensors = read_tensors(path)
    if trained_on_quantized(folder):
        quantize_base(model)
    load_adapter_tensors(add_lora(model, settings), tensors, str(path))
    return settings
