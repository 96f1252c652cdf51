"""What the results of a path depend on. Where all of it is the same as before, the path is kept as it is."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor.base.durable import replace_json
from sartor.base.errors import UsageError
from sartor.choosing.brief import Brief
from sartor.models.hub import ModelLocation

if TYPE_CHECKING:
    from sartor.choosing.choose import ChooseConfig
    from sartor.choosing.fitting.path_kinds import PathKind
    from sartor.choosing.fitting.workshop import Workshop

INPUTS_FILE = "inputs.json"  # of a path: what it was fitted on
NEVER = frozenset({"task", "out", "paths", "base", "api_key_env", "api_budget", "prices", "machine_price", "grid"}) | {
    "probes", "fresh", "seeds", "curve",
}  # fmt: skip
"""Settings on which no path depends by their name: the task and the base model count by what is in them, and the
others decide only what the results are worth, or what is asked besides."""
OF_KINDS: Mapping[str, Callable[["PathKind"], bool]] = {
    "api": lambda kind: kind.remote,
    "api_base_url": lambda kind: kind.remote,
}
"""Settings on which some kinds of path depend. On every other setting the whole run does."""


def require_same_settings(kept: "ChooseConfig", now: "ChooseConfig", where: Path) -> None:
    """UsageError where a setting differs that all paths of a run must share: what is measured would not compare."""
    for name in type(now).model_fields:
        before, given = getattr(kept, name), getattr(now, name)
        if name in NEVER or name in OF_KINDS or before == given:
            continue
        option = f"--{name.replace('_', '-')}"
        equal = " (the paths' shares of it must stay equal)" if name == "budget" else ""
        raise UsageError(
            f"this run was begun with {option} {before}, not {given}{equal}",
            where=str(where),
            hint=f"give {option} {before} to go on, or choose another --out",
        )


def path_inputs(shop: "Workshop", kind: "PathKind") -> dict[str, Any]:
    """By name and content; two runs whose inputs are equal come to the same path."""
    base = {} if kind.remote else {"base model": shop.base_hash}
    return base | inputs_without_base(shop.config, shop.brief, kind)


def inputs_without_base(config: "ChooseConfig", brief: Brief, kind: "PathKind") -> dict[str, Any]:
    """All inputs of a path that asks a remote model."""
    inputs: dict[str, Any] = {"rows": brief.prints["rows"], "longest answer": brief.max_new_tokens}
    if kind.reads_documents:
        inputs["documents"] = brief.prints["documents"]
    if kind.about_pairs:
        inputs["preferences"] = brief.prints["preferences"]
    for name, matters in OF_KINDS.items():
        if matters(kind):
            inputs[f"--{name.replace('_', '-')}"] = getattr(config, name)
    return inputs


def changed_inputs(folder: Path, now: Mapping[str, Any]) -> list[str]:
    """The names of the inputs that are not what the path in `folder` was begun with; empty where nothing was begun."""
    file = folder / INPUTS_FILE
    if not file.is_file() and not (folder.is_dir() and any(not item.name.startswith(".") for item in folder.iterdir())):
        return []
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))


def keep_inputs(folder: Path, inputs: Mapping[str, Any]) -> None:
    """Write them where the path's folder is made: nothing else stands in it by then."""
    if not (folder / INPUTS_FILE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        replace_json(folder / INPUTS_FILE, dict(inputs))


def weights_hash(location: ModelLocation) -> str:
    """The first 16 digits of a SHA-256 over a model's weights, the adapter's after the base model's."""
    digest = hashlib.sha256()
    for source in filter(None, (location.folder, location.adapter)):
        for file in sorted(source.glob("*.safetensors")):
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
