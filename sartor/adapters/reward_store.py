"""A reward model on disk: PEFT's layout for sequence classification (an adapter, and `score` beside it), so that other
tools read it too; what its scores are normalised by is in our own file next to it."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn
from transformers import PreTrainedModel

from sartor.adapters.lora import LoraLinear, LoraSettings, lora_layers
from sartor.adapters.quantized import quantize_base
from sartor.adapters.store import (
    BASE_FILE,
    DAMAGED_HINT,
    PREFIX,
    SETTINGS_FILE,
    WEIGHTS_FILE,
    adapter_files,
    adapter_tensors,
    load_adapter_tensors,
    parse_settings,
    trained_on_quantized,
)
from sartor.base.errors import DataError
from sartor.base.tensor_file import read_tensors
from sartor.models.scalar_head import ScalarHead

HEAD = "score"
HEAD_TENSOR = f"{PREFIX}{HEAD}.weight"


@dataclass(frozen=True)
class RewardScale:
    """Mean and deviation of the rewards of reference answers: reported rewards are (raw - mean) / deviation."""

    mean: float
    deviation: float


def reward_files(
    model: PreTrainedModel, head: ScalarHead, settings: LoraSettings, base: str, scale: RewardScale
) -> dict[str, bytes]:
    """The adapter folder's files by name."""
    files = adapter_files(model, settings, base)
    written = json.loads(files[SETTINGS_FILE])
    written |= {"task_type": "SEQ_CLS", "modules_to_save": [HEAD]}
    ours = json.loads(files.get(BASE_FILE, b"{}")) | {"reward": asdict(scale)}
    tensors = adapter_tensors(lora_layers(model)) | {HEAD_TENSOR: head.weight.detach().cpu().contiguous()}
    return {
        WEIGHTS_FILE: save(tensors),
        SETTINGS_FILE: json.dumps(written, indent=2).encode(),
        BASE_FILE: json.dumps(ours, indent=2).encode(),
    }


def is_reward_model(folder: Path) -> bool:
    """Whether the adapter folder holds a reward model of ours."""
    return (folder / BASE_FILE).is_file() and "reward" in _ours(folder)


def read_reward_settings(folder: Path) -> tuple[LoraSettings, RewardScale, str]:
    """LoRA settings, normalisation and the base model's name. DataError for what is no reward model of ours."""
    path = folder / BASE_FILE
    if not is_reward_model(folder):
        raise DataError("this is no reward model", where=str(folder), hint="make one with `sartor reward`")
    settings, base = parse_settings(folder, but=("modules_to_save",))
    try:
        scale = RewardScale(**_ours(folder)["reward"])
        if not (math.isfinite(scale.mean) and math.isfinite(scale.deviation) and scale.deviation > 0):
            raise ValueError(f"mean {scale.mean}, deviation {scale.deviation}")
    except (TypeError, ValueError) as error:
        raise DataError(f"cannot read the reward's scale: {error}", where=str(path), hint=DAMAGED_HINT) from None
    return settings, scale, base


def load_reward_tensors(layers: dict[str, LoraLinear], head: ScalarHead, folder: Path) -> None:
    """Put the saved reward model into layers and head that `read_reward_settings` describes."""
    path = folder / WEIGHTS_FILE
    tensors = read_tensors(path)
    weight = tensors.pop(HEAD_TENSOR, None)
    if weight is None or weight.shape != head.weight.shape:
        raise DataError("has no scoring head that fits this model", where=str(path), hint=DAMAGED_HINT)
    load_adapter_tensors(layers, tensors, str(path))
    head.weight.data.copy_(weight)


def prepare_base(model: PreTrainedModel, folder: Path) -> None:
    """Pack the base in 4 bits where the reward model was trained on one that was."""
    if trained_on_quantized(folder):
        quantize_base(model)


def _ours(folder: Path) -> dict[str, Any]:
    path = folder / BASE_FILE
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"not readable: {error}", where=str(path), hint=DAMAGED_HINT) from None
    return found if isinstance(found, dict) else {}


def head_of(model: nn.Module) -> ScalarHead:
    """The scoring head that a reward model in training carries."""
    head = model.get_submodule(HEAD)
    assert isinstance(head, ScalarHead)
    return head
