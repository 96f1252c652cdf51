"""Serving handed over to vLLM, for GPUs: which model, which adapters, under which names, and the command for it."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from sartor.base.errors import UsageError
from sartor.models.hub import ModelLocation, context_tokens
from sartor.serving.paths import Named

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM makes room for
PROGRAM = "vllm"


@dataclass(frozen=True)
class Handover:
    """`folder` is a whole model in the Hub's layout, served as `model_id`; `adapters` are PEFT folders by id."""

    folder: Path
    model_id: str
    adapters: Mapping[str, Path]

    def command(self, host: str, port: int) -> list[str]:
        """What to run. Requests that leave the temperature open are answered greedily, as by our own server; penalties
        and the like that a model's generation_config.json asks for do not count, as they did not when it was measured.
        """
        found = [PROGRAM, "serve", str(self.folder), "--served-model-name", self.model_id]
        found += ["--host", host, "--port", str(port), "--max-model-len", str(context_tokens(self.folder))]
        found += ["--generation-config", "vllm"]  # not a program but a name: its own neutral settings
        found += ["--override-generation-config", json.dumps({"temperature": 0.0})]
        if self.adapters:
            rank = max(_rank(folder) for folder in self.adapters.values())
            room = next((size for size in RANKS if size >= rank), None)
            if room is None:
                raise UsageError(f"vLLM takes adapters of rank {RANKS[-1]} at most, this has {rank}", hint="merge it")
            found += ["--enable-lora", "--max-lora-rank", str(room), "--max-loras", str(len(self.adapters))]
            found += ["--lora-modules", *(f"{name}={folder}" for name, folder in self.adapters.items())]
        return found


def require_vllm() -> None:
    """UsageError unless there is a program of that name."""
    if shutil.which(PROGRAM) is None:
        raise UsageError("vLLM is not installed", where="--engine vllm", hint="pip install vllm, where there is a GPU")


def plan_handover(
    named: Sequence[Named], merged: Callable[[ModelLocation], Path], adapter: Callable[[ModelLocation], Path]
) -> Handover:
    """What vLLM is to serve. One model is merged and served whole; several are adapters on one base.

    `merged` gives a model's whole folder, `adapter` its PEFT folder. UsageError for what only our own server can do:
    prompts, documents, embeddings, several bases.
    """
    locations = {each.id: _plain_location(each) for each in named}
    bases = {location.folder.resolve() for location in locations.values()}
    if len(bases) > 1:
        raise UsageError("vLLM serves one base model, these have several", hint="start one server for each base")
    if len(locations) == 1:
        ((model_id, location),) = locations.items()
        return Handover(merged(location), model_id, {})
    whole = [model_id for model_id, location in locations.items() if location.adapter is None]
    if len(whole) > 1:
        raise UsageError(f"{whole[0]} and {whole[1]} are the same model", hint="name it once")
    first = next(iter(locations.values()))
    base = ModelLocation(str(first.folder), first.folder)
    adapters = {model_id: adapter(location) for model_id, location in locations.items() if location.adapter is not None}
    return Handover(merged(base), whole[0] if whole else first.folder.name, adapters)


def hand_over(command: Sequence[str], key: str | None) -> NoReturn:
    """Become vLLM. The key goes by the environment, where no list of processes shows it."""
    environment = os.environ | ({"VLLM_API_KEY": key} if key is not None else {})
    os.execvpe(command[0], list(command), environment)


def _plain_location(named: Named) -> ModelLocation:
    config = named.config
    front = config.instruction or config.examples or config.similar or config.documents
    if named.location is None or front or config.knowledge:
        own = "embeddings" if named.location is None else "a prompt of its own"
        holds = "documents" if config.knowledge or config.documents else own
        raise UsageError(f"{named.id} has {holds}, which vLLM does not serve", hint="serve it without --engine vllm")
    return named.location


def _rank(adapter: Path) -> int:
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    return max([int(settings["r"]), *map(int, (settings.get("rank_pattern") or {}).values())])
