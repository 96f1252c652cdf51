"""The parts of an export: what is exported, its files, reading them back, giving them their place."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel

import sartor
from sartor.adapters.lora import adapters_off
from sartor.adapters.merge import merge_lora
from sartor.adapters.store import BASE_FILE, SETTINGS_FILE, WEIGHTS_FILE, load_adapter, trained_on_quantized
from sartor.base.console import say, warn
from sartor.base.device import device
from sartor.base.durable import Content, format_bytes, publish_folder, require_space, size_of, write_error, write_synced
from sartor.base.errors import UsageError
from sartor.base.run_folder import require_folder_place
from sartor.data.chat import ChatFormat
from sartor.generation.local import context_tokens as tokens_read
from sartor.models.export import licence_files, model_files, tokenizer_files
from sartor.models.forward import load_packed
from sartor.models.gguf_folder import convert_gguf
from sartor.models.gguf_tokenizer import TokenizerFields, tokenizer_fields
from sartor.models.gguf_writer import About, Storage, readable_tokens, require_writable, write_gguf
from sartor.models.hub import ModelLocation, context_tokens, lasting_name, load_tokenizer, locate
from sartor.models.starter import STARTERS
from sartor.recipes.export import ExportConfig, ExportResult, Format
from sartor.recipes.rescoring import Probe, Rescoring, Scored, all_log_probs, score
from sartor.retrieval.path import chosen_path

REPORT_FILE = "export.json"
CHECK_FOLDER = ".check"
TORCH_TYPES: dict[str, torch.dtype] = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


@dataclass(frozen=True)
class Source:
    """What is exported: its files, the name of its base model, the folder of its run (for its held-out rows)."""

    name: str
    location: ModelLocation
    base: str
    run: Path

    @property
    def base_title(self) -> str:
        """The base's name for people elsewhere: without this machine's folders."""
        if self.base in STARTERS:
            return STARTERS[self.base].title
        folder = Path(self.base).expanduser()
        return folder.resolve().name if folder.is_dir() else self.base

    @property
    def loadable_base(self) -> str:
        """The base as other tools find it on this machine: a Hub id, else a folder."""
        if self.base in STARTERS:
            return str(self.location.folder)
        return lasting_name(self.base)

    def licence(self) -> str | None:
        """The base's licence, as its model card names it."""
        if self.base in STARTERS:
            return STARTERS[self.base].licence
        card = self.location.folder / "README.md"
        parts = card.read_text(encoding="utf-8", errors="replace").split("---", 2) if card.is_file() else []
        if len(parts) < 3 or parts[0].strip():
            return None
        try:
            named = yaml.safe_load(parts[1]).get("license")
        except (yaml.YAMLError, AttributeError):
            return None  # a card without readable settings names no licence
        return named if isinstance(named, str) else None


def find_source(model: str) -> Source:
    """What `model` names. Of a choice it is the chosen path's model; UsageError when that is a remote one."""
    folder = Path(model).expanduser()
    if (folder / "paths").is_dir():
        path, place = chosen_path(folder)
        if path.api_base_url is not None:
            raise UsageError(f"the chosen path asks {path.model} at {path.api_base_url}", hint="there is no model here")
        if path.instruction or path.examples or path.similar or path.documents or path.knowledge:
            warn(
                f"the model of path {path.name} is exported; its prompt and documents stay with `sartor serve {model}`"
            )
        return find_source(str(place / path.adapter) if path.adapter else path.model)
    location = locate(model)
    if location.adapter is None:
        return Source(model, location, model, location.folder.parent)
    base = json.loads((location.adapter / SETTINGS_FILE).read_text())["base_model_name_or_path"]
    return Source(model, location, base, location.adapter.parent)


def require_place(out: Path, source: Source) -> None:
    """UsageError when `out` holds something else than an export, or what is to be exported."""
    require_folder_place(out)
    used = [folder.resolve() for folder in (source.location.folder, source.location.adapter) if folder is not None]
    if any(folder.is_relative_to(out.resolve()) for folder in used):
        raise UsageError("the model to export is in it", where=str(out), hint="choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / REPORT_FILE).is_file():
        raise UsageError("the folder already holds something else", where=str(out), hint="choose another --out")


def storage_of(config: ExportConfig, source: Source) -> Storage:
    """How weights will be stored. UsageError for what the format or the model does not allow."""
    if config.format == "peft":
        if source.location.adapter is None:
            raise UsageError(
                f"{config.model} has no adapter",
                where="--format peft",
                hint="export the whole model: --format safetensors",
            )
        if trained_on_quantized(source.location.adapter):
            warn("the adapter was trained on a 4-bit base: other tools must load the base as NF4, doubly quantized")
        if config.dtype != "auto":
            raise UsageError("an adapter is exported as it was trained", where="--dtype", hint="leave --dtype out")
        return "f32"
    if config.dtype == "q8_0" and config.format != "gguf":
        raise UsageError(f"{config.format} has no q8_0", where="--dtype q8_0", hint="use --format gguf")
    if config.format == "gguf":
        settings = AutoConfig.from_pretrained(source.location.folder, local_files_only=True)
        require_writable(settings)
        tokenizer_fields(load_tokenizer(source.location.folder), settings.vocab_size)
        tokens = readable_tokens(settings)
        if tokens < settings.max_position_embeddings:
            warn(f"llama.cpp has no sliding window for this model: the file is for texts of up to {tokens:,} tokens")
    if config.dtype != "auto":
        return config.dtype
    stored = json.loads((source.location.folder / "config.json").read_text())
    kind = str(stored.get("dtype") or stored.get("torch_dtype") or "float32")
    names: dict[str, Storage] = {"bfloat16": "bf16", "float16": "f16"}
    return names.get(kind, "f32")


@contextmanager
def unpublished(out: Path) -> Iterator[Path]:
    """An empty folder beside `out`; it is gone afterwards unless it was published."""
    new = out.with_name(f".{out.name}.new")
    try:
        new.parent.mkdir(parents=True, exist_ok=True)
        if new.exists():
            shutil.rmtree(new)
        new.mkdir()
    except OSError as error:
        raise write_error(error, out, 0) from error
    try:
        yield new
    except OSError as error:
        raise write_error(error, out, 0) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def write(form: Format, storage: Storage, source: Source, probe: Probe, new: Path) -> tuple[Scored, Tensor | None]:
    """Load the live model, score it, write its files into `new`. Gives what it says, and what its base alone says."""
    model, chat = _open(source.location.folder, source.location.adapter)
    say(f"scoring it on {probe.source}")
    live = score(model, chat, probe, _readable(form, model))
    without_adapter = None
    if source.location.adapter is not None:
        with adapters_off(model):
            without_adapter = all_log_probs(model, live.rows)
        if form != "peft":
            merge_lora(model)
    files = _files(form, storage, source, model, chat)
    needed = sum(size_of(content) for content in files.values())
    checking = 4 * model.num_parameters() if form == "gguf" else 0  # unpacked to float32 while it is checked
    require_space(new, needed + checking)
    say(f"writing {format_bytes(needed)}")
    for name, content in files.items():
        write_synced(new / name, content)
    return live, without_adapter


def _readable(form: Format, model: PreTrainedModel) -> int:
    return readable_tokens(model.config) if form == "gguf" else tokens_read(model)


def _open(folder: Path, adapter: Path | None) -> tuple[PreTrainedModel, ChatFormat]:
    """In float32: what is merged is rounded once, when it is stored."""
    model = load_packed(folder, torch.float32)
    if adapter is not None:
        load_adapter(model, adapter)
    return model.to(device()), ChatFormat(load_tokenizer(folder))


def _files(
    form: Format, storage: Storage, source: Source, model: PreTrainedModel, chat: ChatFormat
) -> dict[str, Content]:
    folder = source.location.folder
    if form == "gguf":
        fields = tokenizer_fields(chat.tokenizer, model.get_input_embeddings().weight.shape[0])
        ends = sorted(chat.stop_ids - {chat.tokenizer.eos_token_id})
        about = About(
            name=f"{source.base_title} (exported by Sartor)",
            base_model=source.base_title,
            template=chat.template,
            end_of_turn=ends[0] if ends else None,
            licence=source.licence(),
        )
        return {_gguf_file_name(storage): _GgufFile(model, fields, storage, about), **licence_files(folder)}
    if form == "peft":
        files = _adapter_files(source) | tokenizer_files(folder)
    else:
        files = model_files(model, folder, TORCH_TYPES[storage])
        files["generation_config.json"] = _with_ends(files.get("generation_config.json"), chat)
    if not chat.has_own_template:
        files["chat_template.jinja"] = chat.template
    return files


def _gguf_file_name(storage: Storage) -> str:
    return f"model-{storage}.gguf"


@dataclass(frozen=True)
class _GgufFile:
    """`Content` that knows its size, tensors only."""

    model: PreTrainedModel
    tokenizer: TokenizerFields
    storage: Storage
    about: About

    @property
    def needed_bytes(self) -> int:
        weight_bytes = {"f32": 4.0, "bf16": 2.0, "f16": 2.0, "q8_0": 34 / 32}
        return int(self.model.num_parameters() * weight_bytes[self.storage])

    def __call__(self, path: Path) -> None:
        write_gguf(path, self.model, self.tokenizer, self.storage, self.about)


def _adapter_files(source: Source) -> dict[str, Content]:
    """The adapter as it is, with a base model that other tools find."""
    folder = source.location.adapter
    assert folder is not None
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    settings["base_model_name_or_path"] = source.loadable_base
    found = [name for name in (WEIGHTS_FILE, BASE_FILE) if (folder / name).is_file()]
    files: dict[str, Content] = {name: (folder / name).read_bytes() for name in found}
    return {SETTINGS_FILE: json.dumps(settings, indent=2) + "\n", **files}


def _with_ends(text: Content | None, chat: ChatFormat) -> str:
    """The generation settings with every token that ends an answer in them: tools that generate go by these."""
    settings: dict[str, Any] = json.loads(text) if isinstance(text, bytes | str) else {}
    named = settings.get("eos_token_id")
    ends = list(named) if isinstance(named, list) else [named] if isinstance(named, int) else []
    ends += sorted(chat.stop_ids - set(ends))
    return json.dumps(settings | {"eos_token_id": ends[0] if len(ends) == 1 else ends}, indent=2) + "\n"


def read_back(form: Format, source: Source, probe: Probe, new: Path) -> Scored:
    """What the model in `new` says, read as a stranger would: nothing of the live model is used but an adapter's
    base."""
    if form == "peft":
        model, _ = _open(source.location.folder, new)
        return score(model, ChatFormat(load_tokenizer(new)), probe, context_tokens(source.location.folder))
    folder = new
    if form == "gguf":
        folder = new / CHECK_FOLDER
        folder.mkdir()
        (file,) = new.glob("*.gguf")
        convert_gguf(file, folder, "check", torch.float32)
    model, chat = _open(folder, None)
    shutil.rmtree(new / CHECK_FOLDER, ignore_errors=True)
    return score(model, chat, probe, context_tokens(folder) if form != "gguf" else _readable(form, model))


def publish(
    config: ExportConfig, storage: Storage, source: Source, rescoring: Rescoring, new: Path, out: Path
) -> ExportResult:
    """Write the report and the model card, and give the folder its place."""
    stored = "as trained" if config.format == "peft" else storage
    (new / "README.md").write_text(_card(config.format, stored, source, rescoring), encoding="utf-8")
    files = {path.name: path.stat().st_size for path in sorted(new.iterdir())}
    result = ExportResult(out, config.format, stored, files, rescoring, _uses(config.format, source, out, files))
    report = result.as_dict() | {
        "model": config.model, "base_model": source.base, "licence": source.licence(), "sartor": sartor.__version__
    }  # fmt: skip
    del report["out"]
    (new / REPORT_FILE).write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    publish_folder(new, out)
    return result


def _uses(form: Format, source: Source, out: Path, files: dict[str, int]) -> dict[str, str]:
    """A command for each tool that people are likely to have."""
    if form == "gguf":
        file = next(out / name for name in files if name.endswith(".gguf"))
        return {"llama.cpp": f"llama-server -m {file}", "llama-cpp-python": f'Llama(model_path="{file}")'}
    if form == "peft":
        base = source.loadable_base
        return {
            "PEFT": f'AutoPeftModelForCausalLM.from_pretrained("{out}")',
            "vLLM": f"vllm serve {base} --enable-lora --lora-modules {out.name}={out}",
        }
    return {
        "Sartor": f"sartor chat {out}",
        "transformers": f'AutoModelForCausalLM.from_pretrained("{out}")',
        "vLLM": f"vllm serve {out}",
    }


def _card(form: Format, stored: str, source: Source, rescoring: Rescoring) -> str:
    """README.md, with what the Hub reads at its top."""
    settings: dict[str, str] = {}
    if licence := source.licence():
        settings["license"] = licence
    if source.base not in STARTERS and not Path(source.base).expanduser().is_dir():
        settings["base_model"] = source.base
    if form != "gguf":
        settings["library_name"] = "peft" if form == "peft" else "transformers"
    top = f"---\n{yaml.safe_dump(settings, sort_keys=False)}---\n\n" if settings else ""
    what = {"safetensors": "Model", "peft": "Adapter", "gguf": "GGUF file"}[form]
    return (
        f"{top}# {what} made of {source.base_title}\n\n"
        f"Exported by Sartor {sartor.__version__}, weights {stored}; {rescoring.sentence()}.\n\n"
        f"All figures are in `{REPORT_FILE}`. Licences of the base model and of the rows apply.\n"
    )
