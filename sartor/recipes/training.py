"""The parts that every training recipe is put together from."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from sartor.adapters.lora import LoraSettings, add_lora
from sartor.adapters.quantized import quantize_base
from sartor.adapters.store import adapter_files, load_adapter, read_settings
from sartor.base.configuration import Config, build, dump_yaml, load_yaml
from sartor.base.console import say, warn
from sartor.base.device import compute_dtype, device
from sartor.base.distributed import barrier, is_main
from sartor.base.durable import Content
from sartor.base.environment import describe_environment
from sartor.base.errors import UsageError
from sartor.base.run_folder import FollowedRunFolder, RunFolder, require_free
from sartor.base.seeds import seed_everything
from sartor.data.bad_rows import BadRows
from sartor.models.export import model_files
from sartor.models.forward import load_packed, recompute_activations
from sartor.recipes.planning import Plan
from sartor.recipes.runs import forget_failure, noting_failure
from sartor.recipes.settings import OF_AN_ADAPTER, RowsConfig, TrainingConfig
from sartor.train.actors import leave_out_dropout
from sartor.train.loop import BestBy, LoopSettings
from sartor.train.parallel import place
from sartor.train.run_report import REPORT, write_run_report

RESULT_FILE = "result.json"
PLACES = ("out", "data", "dev", "base", "task")  # settings that name a file or folder
ADAPTER_SETTINGS = ("adapter", *OF_AN_ADAPTER)


def check_run(config: Config, out: str) -> None:
    """UsageError when `out` holds something else than this very run; asked before any work is done."""
    settings = Path(out) / "config.yaml"
    if not settings.is_file():
        require_free(Path(out))
    elif settings.read_bytes() != dump_yaml(config).encode() and not _is_same(settings, config):
        raise UsageError(
            "this run was begun with other settings",
            where=str(settings),
            hint="choose another --out, or give the same settings to resume",
        )


def _is_same(settings: Path, config: Config) -> bool:
    """Whether the kept settings are these, apart from how places are written: runs/a, ./runs/a or from the root."""
    try:
        kept = build(type(config), load_yaml(settings))
    except UsageError:
        return False
    return _with_whole_places(kept) == _with_whole_places(config)


def _with_whole_places(config: Config) -> dict[str, Any]:
    values = config.model_dump()
    return values | {name: str(Path(values[name]).resolve()) for name in PLACES if isinstance(values.get(name), str)}


@contextmanager
def open_run(config: Config, out: str) -> Iterator[RunFolder]:
    """The run folder at `out`: a new one, or one made with the very same settings, to go on with.

    To be opened when everything else was checked, so that a mistake leaves nothing behind. Of several processes the
    main one opens it and the others follow.
    """
    path = Path(out)
    if not is_main():
        barrier()
        yield FollowedRunFolder(path)
        return
    check_run(config, out)
    with held_run(config, path) as folder:
        barrier()
        with noting_failure(folder):
            yield folder


@contextmanager
def held_run(config: Config, path: Path) -> Iterator[RunFolder]:
    """The run folder at `path`, opened or made, with the settings and the machine that it was begun with written."""
    with RunFolder.open(path) if (path / "config.yaml").is_file() else RunFolder.create(path) as folder:
        if not (path / "config.yaml").is_file():
            folder.write_text("config.yaml", dump_yaml(config))
        if not (path / "environment.json").is_file():
            kind = type(config).__name__.removesuffix("Config").lower()
            folder.write_json("environment.json", {"run": kind, **describe_environment()})
        yield folder


def finished_result(path: Path) -> dict[str, Any] | None:
    """What the run at `path` came to (result.json), None while it has not ended. Its report is written where the run
    was stopped just before."""
    if not (path / RESULT_FILE).is_file():
        return None
    say(f"{path} is finished already")
    if is_main():
        forget_failure(path)
        if not (path / REPORT).is_file():
            with RunFolder.open(path) as folder:
                write_run_report(folder)
    found: dict[str, Any] = json.loads((path / RESULT_FILE).read_text())
    return found


def keep_rejects(bad_rows: BadRows, folder: RunFolder) -> None:
    """Tell of the rows that were left out, and keep them."""
    if bad_rows.rejects and is_main():
        warn(f"{bad_rows.summary()}; kept in {folder.path / 'rejects.jsonl'}")
        bad_rows.write(folder.path / "rejects.jsonl")


def lora_settings(config: TrainingConfig, start: Path | None = None) -> LoraSettings | None:
    """The adapter's settings, those of the adapter in `start` where training goes on from one; None when every weight
    is trained."""
    if start is not None:
        return read_settings(start)[0]
    if config.adapter == "none":
        return None
    return LoraSettings(
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        dropout=config.lora_dropout,
        rank_stabilized=config.rslora,
        weight_decomposed=config.dora,
        targets=tuple(config.lora_targets),
    )


def trainable_model(
    config: RowsConfig, base: Path, dtype: torch.dtype | None = None, start: Path | None = None
) -> PreTrainedModel:
    """The model of `complete_model` where it trains: on the device, or shared out among processes."""
    return place(complete_model(config, base, dtype, start), config.parallel)


def complete_model(
    config: TrainingConfig,
    base: Path,
    dtype: torch.dtype | None = None,
    start: Path | None = None,
    own_dropout: bool = True,
) -> PreTrainedModel:
    """The base model with our attention and with what is trained, on the CPU, in the number format this machine
    computes best in or in `dtype`; its start is a function of the seed, or the adapter in the folder `start`. Without
    `own_dropout` nothing of the base is dropped out."""
    model = load_packed(base, dtype or compute_dtype(device()))
    if not own_dropout:
        leave_out_dropout(model)
    lora = lora_settings(config)
    seed_everything(config.seed)
    if config.adapter == "qlora":
        quantize_base(model)
    if start is not None:
        model.requires_grad_(False)
        load_adapter(model, start)
    elif lora is None:
        model.requires_grad_(True)
    else:
        add_lora(model, lora)
    if config.activation_checkpointing:
        recompute_activations(model)
    return model


def trained_files(
    config: TrainingConfig, model: PreTrainedModel, base: Path, base_name: str, start: Path | None = None
) -> tuple[str, Mapping[str, Content]]:
    """What was trained: the name of its folder in the run (adapter or model) and, in the process that writes, the
    folder's files."""
    lora = lora_settings(config, start)
    if not is_main():
        return ("model" if lora is None else "adapter"), {}
    if lora is None:
        return "model", model_files(model, base)
    return "adapter", adapter_files(model, lora, base_name)


def loop_settings(config: TrainingConfig, plan: Plan, best_by: BestBy = "dev_loss") -> LoopSettings:
    return LoopSettings(
        num_steps=plan.num_steps,
        learning_rate=config.peak_learning_rate,
        warmup_steps=round(config.warmup_share * plan.num_steps),
        schedule=config.schedule,
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        evaluate_every=plan.evaluate_every,
        save_every=plan.evaluate_every,
        patience=config.patience,
        seed=config.seed,
        optimizer=config.optimizer,
        best_by=best_by,
        accept_changed_environment=config.accept_changed_environment,
    )


def refuse_adapter_settings(config: TrainingConfig) -> None:
    """UsageError for settings of a new adapter where an adapter that is there goes on."""
    given = [name for name in ADAPTER_SETTINGS if name in config.model_fields_set]
    given = [name for name in given if getattr(config, name) != type(config).model_fields[name].default]
    if given:
        raise UsageError(
            f"{config.base} is an adapter, which is trained further as it is",
            where=", ".join(f"--{name.replace('_', '-')}" for name in given),
            hint="leave these settings away, or start from a whole model (`sartor export` makes one)",
        )
