"""A model as the files of a Hub-layout folder, as transformers, vLLM and other tools read them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from sartor.base.durable import Content

SHARD_BYTES = 5_000_000_000  # what the Hub's tools cut at
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
LOADING_ONLY = ("quantization_config", "auto_map", "_name_or_path")  # how the base was stored, not what this one is


def model_files(
    model: PreTrainedModel, base_folder: Path, dtype: torch.dtype | None = None, shard_bytes: int = SHARD_BYTES
) -> dict[str, Content]:
    """The model folder's files by name: `model`'s weights (in `dtype`, by default its own) and settings, and the
    tokenizer, chat template, generation settings and licence of `base_folder`.

    Weights that are one tensor under two names are stored once. ValueError for a model with adapters on it: merge
    them first. The weights are read when the files are written.
    """
    dtype = dtype or model.dtype
    files: dict[str, Content] = {"config.json": _config(model, dtype)}
    files |= tokenizer_files(base_folder)
    files |= _copies(base_folder, ["generation_config.json"])
    files |= licence_files(base_folder)
    return files | _weight_files(_stored_tensors(model), dtype, shard_bytes)


def tokenizer_files(folder: Path) -> dict[str, Content]:
    """Tokenizer and chat template of a model folder."""
    return _copies(folder, TOKENIZER_FILES)


def licence_files(folder: Path) -> dict[str, Content]:
    return _copies(folder, sorted(path.name for path in folder.glob("LICENSE*")))


def _copies(folder: Path, names: "list[str] | tuple[str, ...]") -> dict[str, Content]:
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def head_is_tied(model: PreTrainedModel) -> bool:
    """Whether the output head is the token embedding itself."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    return head is not None and head.weight.data_ptr() == embedding.weight.data_ptr()


def _config(model: PreTrainedModel, dtype: torch.dtype) -> str:
    settings: dict[str, Any] = json.loads(model.config.to_json_string(use_diff=True))
    for name in LOADING_ONLY:
        settings.pop(name, None)
    settings["architectures"] = [type(model).__name__]
    settings["dtype"] = str(dtype).removeprefix("torch.")
    settings["tie_word_embeddings"] = head_is_tied(model)
    return json.dumps(settings | _older_rope_settings(settings), indent=2) + "\n"


def _older_rope_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """transformers before 5 reads these, and would otherwise turn queries and keys by its default angles."""
    rope = settings.get("rope_parameters")
    if not isinstance(rope, dict) or "rope_theta" not in rope:
        return {}
    scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
    scaled = scaling.get("rope_type", "default") != "default"
    return {"rope_theta": rope["rope_theta"]} | ({"rope_scaling": scaling} if scaled else {})


def _stored_tensors(model: PreTrainedModel) -> dict[str, Tensor]:
    """The state that a file holds, by the Hub's names: tied weights once."""
    state = model.state_dict()
    adapted = next((name for name in state if name.endswith(".lora_A")), None)
    if adapted is not None:
        raise ValueError(f"{adapted} is an adapter: merge it before the model is stored")
    for name in getattr(model, "_keys_to_ignore_on_save", None) or ():
        state.pop(name, None)
    for copy, original in model.all_tied_weights_keys.items():
        if copy in state and original in state and state[copy].data_ptr() == state[original].data_ptr():
            del state[copy]
    stored: dict[str, Tensor] = revert_weight_conversion(model, state)
    return stored


@dataclass(frozen=True)
class _Shard:
    """One safetensors file: `Content` that knows its size."""

    tensors: Mapping[str, Tensor]
    dtype: torch.dtype

    @property
    def needed_bytes(self) -> int:
        return sum(_stored_bytes(tensor, self.dtype) for tensor in self.tensors.values())

    def __call__(self, path: Path) -> None:
        stored = {name: _stored(tensor, self.dtype) for name, tensor in self.tensors.items()}
        save_file(stored, path, metadata={"format": "pt"})


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    kind = dtype if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(device="cpu", dtype=kind).contiguous()


def _stored_bytes(tensor: Tensor, dtype: torch.dtype) -> int:
    return tensor.numel() * (dtype.itemsize if tensor.is_floating_point() else tensor.element_size())


def _weight_files(tensors: Mapping[str, Tensor], dtype: torch.dtype, shard_bytes: int) -> dict[str, Content]:
    """One file, or several of at most `shard_bytes` (a larger tensor stands alone) with an index."""
    shards: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        size = _stored_bytes(tensor, dtype)
        if shards[-1] and filled + size > shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = tensor
        filled += size
    if len(shards) == 1:
        return {WEIGHTS_FILE: _Shard(shards[0], dtype)}
    names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    files: dict[str, Content] = {name: _Shard(shard, dtype) for name, shard in zip(names, shards, strict=True)}
    index = {
        "metadata": {"total_size": sum(_stored_bytes(tensor, dtype) for tensor in tensors.values())},
        "weight_map": {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard},
    }
    return files | {INDEX_FILE: json.dumps(index, indent=2) + "\n"}
