"""A model by name: `starter`, a Hub id, a local folder or a run folder, to files on this machine, to a loaded
model.

Only safetensors weights are read and no code that comes with a model is ever run.
"""

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import errors as hub_errors
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from sartor.base.console import say
from sartor.base.errors import DataError, SartorError, UsageError
from sartor.models.starter import STARTERS, fetch

WANTED_FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "LICENSE*", "README.md"]
UNWANTED_FILES = ["onnx/*", "original/*", "openvino/*", "consolidated*.safetensors"]
PICKLE_ENDINGS = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
HTTP_ERROR: type[Exception] = hub_errors.HfHubHTTPError.__bases__[0]  # httpx or, in newer versions, httpx2
DAMAGED_HINT = "fetch or copy the model again: a file is damaged or missing"
TOKENIZER_HINT = "fetch or copy it again if a file is damaged or missing; it may also need newer `tokenizers`"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


@dataclass(frozen=True)
class ModelLocation:
    """What a name stands for: the Hub-layout `folder` of a whole model and, when it is an adapter, its
    PEFT-layout folder."""

    name: str
    folder: Path
    adapter: Path | None = None


def locate(model: str | Path) -> ModelLocation:
    """Find (and if need be download) what `model` names; an adapter's base is found the same way.

    UsageError for a name that is nothing, DataError for a folder that cannot be used, SartorError when the
    Hub fails.
    """
    name = str(model)
    if name in STARTERS:
        return ModelLocation(name, fetch(name))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _locate_folder(name, folder)
    if folder.exists():
        raise UsageError(
            f"{name} is a file, not a model folder", hint="name the folder with config.json and *.safetensors"
        )
    if not HUB_ID.fullmatch(name) or name.startswith("."):
        raise UsageError(
            f"there is no model folder {name}",
            hint="a model is `starter`, a Hub id, a local folder or a run folder",
        )
    near = difflib.get_close_matches(name, STARTERS, n=1, cutoff=0.8)
    if near:
        raise UsageError(f"there is no model {name}", hint=f"did you mean `{near[0]}`?")
    return ModelLocation(name, _from_hub(name))


def resolve(model: str | Path) -> Path:
    """The folder of the whole model that `model` names; an adapter is refused with UsageError (see
    `locate`)."""
    location = locate(model)
    if location.adapter is not None:
        raise UsageError(
            f"{model} is an adapter, and a whole model is needed here",
            hint=f"name its base model: {location.folder}",
        )
    return location.folder


def load_model(folder: Path, dtype: torch.dtype, attention: str | None = None) -> PreTrainedModel:
    """The causal language model in `folder`, on the CPU, in evaluation mode, every parameter frozen.

    `attention` names a registered attention implementation. DataError when weights are damaged, or are
    missing for a part of the model (which would otherwise stay random).
    """
    _check_model_folder(folder, str(folder))
    with _quiet_transformers():
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                attn_implementation=attention,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
            raise DataError(
                f"this model cannot be loaded: {_first_line(error)}", where=str(folder), hint=DAMAGED_HINT
            ) from error
    model: PreTrainedModel = loaded[0]
    report: dict[str, Any] = loaded[1]
    missing = sorted(report["missing_keys"]) + sorted(str(key[0]) for key in report["mismatched_keys"])
    if missing:
        raise DataError(
            f"{len(missing)} weights are missing or have another shape, such as {missing[0]}",
            where=str(folder),
            hint="this folder does not hold the causal language model that its config.json describes",
        )
    model.requires_grad_(False)
    return model.eval()


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`. DataError when there is none or it is damaged."""
    with _quiet_transformers():
        try:
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # `tokenizers` raises bare ones for what its version does not know
            raise DataError(
                f"the tokenizer cannot be loaded: {_first_line(error)}", where=str(folder), hint=TOKENIZER_HINT
            ) from error


def lasting_name(model: str) -> str:
    """The name to keep in files: a local folder by its whole path, so that it is found from every other folder."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() and model not in STARTERS else model


def context_tokens(folder: Path) -> int:
    """How many tokens the model in `folder` was made to read, by its config.json; DataError when that does not say."""
    settings = _read_json(folder / "config.json")
    if isinstance(settings.get("text_config"), dict):  # of which a file says only what is unlike its type's own values
        settings = _text_settings(folder)
    for key in ("max_position_embeddings", "n_positions"):
        if isinstance(settings.get(key), int):
            return int(settings[key])
    raise DataError(
        "the model does not say how many tokens it reads",
        where=f"{folder / 'config.json'}, max_position_embeddings",
        hint="add the number from the model's description",
    )


def _text_settings(folder: Path) -> dict[str, Any]:
    """The settings of the part that writes, of a model that sees or hears as well."""
    with _quiet_transformers():
        try:
            config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"this configuration cannot be read: {_first_line(error)}", where=str(folder), hint=DAMAGED_HINT
            ) from error
    return dict(config.get_text_config().to_dict())


def _locate_folder(name: str, folder: Path) -> ModelLocation:
    for inner in (folder / "model", folder / "adapter"):
        if inner.is_dir() and not (folder / "config.json").is_file():
            return _locate_folder(name, inner)
    if (folder / "adapter_config.json").is_file():
        base = _read_json(folder / "adapter_config.json").get("base_model_name_or_path")
        if not isinstance(base, str) or not base:
            raise DataError(
                "no base model is named",
                where=f"{folder / 'adapter_config.json'}, base_model_name_or_path",
                hint="write the name or folder of the model it was trained on there",
            )
        location = locate(base)
        if location.adapter is not None:
            raise DataError(f"its base {base} is itself an adapter", where=str(folder), hint="merge the base first")
        return ModelLocation(name, location.folder, folder)
    _check_model_folder(folder, name)
    return ModelLocation(name, folder)


def _check_model_folder(folder: Path, name: str) -> None:
    """DataError unless config.json and all safetensors are there and no code of its own is needed."""
    if not (folder / "config.json").is_file():
        raise DataError(
            "no config.json, so this is not a model folder",
            where=name,
            hint="name a folder with config.json, *.safetensors and tokenizer.json, or a run folder",
        )
    missing = _missing_weights(folder)
    if missing:
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLE_ENDINGS)
        if pickled:
            raise DataError(
                f"its weights are pickle ({pickled[0]}), which can run any code when it is read",
                where=name,
                hint="use a model that comes with *.safetensors files",
            )
        raise DataError(f"{missing} is missing", where=name, hint="models are read from safetensors files only")
    _refuse_code(folder, name)


def _missing_weights(folder: Path) -> str | None:
    if (folder / "model.safetensors").is_file():
        return None
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return "model.safetensors"
    shards = _read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not all(
        isinstance(shard, str) and Path(shard).name == shard for shard in shards.values()
    ):
        raise DataError("weight_map does not name files of this folder", where=str(index), hint=DAMAGED_HINT)
    return next((shard for shard in sorted(set(shards.values())) if not (folder / shard).is_file()), None)


def _refuse_code(folder: Path, name: str) -> None:
    """A model that brings code is used only when the installed transformers knows its type without that
    code."""
    config = _read_json(folder / "config.json")
    if "auto_map" in config and config.get("model_type") not in transformers.CONFIG_MAPPING:
        raise DataError(
            f"this model needs code of its own ({_first_value(config['auto_map'])}), which is never run",
            where=name,
            hint="choose a model whose type transformers knows by itself",
        )
    tokenizer_file = folder / "tokenizer_config.json"
    if tokenizer_file.is_file() and not (folder / "tokenizer.json").is_file():
        code = _read_json(tokenizer_file).get("auto_map")
        if code:
            raise DataError(
                f"its tokenizer needs code of its own ({_first_value(code)}), which is never run",
                where=name,
                hint="choose a model with a tokenizer.json",
            )


def _from_hub(name: str) -> Path:
    """The snapshot of a Hub model: from the local cache when it is whole, else downloaded."""
    try:
        cached = Path(snapshot_download(name, local_files_only=True))
        if (cached / "config.json").is_file() and _missing_weights(cached) is None:
            _check_model_folder(cached, name)
            return cached
    except hub_errors.LocalEntryNotFoundError:
        say(f"fetching {name} from the Hub")
    except hub_errors.HFValidationError as error:
        raise UsageError(
            f"{name} is neither a folder nor a Hub id", hint="a Hub id looks like organisation/model"
        ) from error
    try:
        folder = Path(snapshot_download(name, allow_patterns=WANTED_FILES, ignore_patterns=UNWANTED_FILES))
    except (hub_errors.HfHubHTTPError, hub_errors.LocalEntryNotFoundError, HTTP_ERROR, OSError) as error:
        raise _hub_error(name, error) from error
    _check_model_folder(folder, name)
    return folder


def _hub_error(name: str, error: Exception) -> SartorError:
    if isinstance(error, hub_errors.GatedRepoError):
        return SartorError(
            f"the model {name} is gated", hint=f"ask for access at huggingface.co/{name}, then set HF_TOKEN"
        )
    if isinstance(error, hub_errors.RepositoryNotFoundError):
        return UsageError(
            f"there is no model {name} here or on the Hub",
            hint="check the spelling; a private model needs HF_TOKEN",
        )
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        return SartorError(
            f"cannot store the model {name}: {error.strerror}",
            hint="check space and rights of the Hub cache (HF_HOME)",
        )
    return SartorError(
        f"there is no folder {name}, and the Hub cannot be reached",
        hint="use `starter` or a local folder, or connect to the network once to fetch it",
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"not readable as JSON: {_first_line(error)}", where=str(path), hint=DAMAGED_HINT
        ) from error
    if not isinstance(value, dict):
        raise DataError("not a JSON object", where=str(path), hint=DAMAGED_HINT)
    return value


def _first_value(mapping: Any) -> str:
    return str(next(iter(mapping.values()), mapping)) if isinstance(mapping, dict) else str(mapping)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


class _quiet_transformers:
    """Keep transformers' progress bars and advice off the screen; what matters is checked and raised
    instead."""

    def __enter__(self) -> None:
        self.verbosity = transformers.utils.logging.get_verbosity()
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()

    def __exit__(self, *exception: object) -> None:
        transformers.utils.logging.set_verbosity(self.verbosity)
