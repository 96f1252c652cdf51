"""One of several processes of a training: started by torchrun in test_parallel.py, or called there as the only one.

`python -m torch.distributed.run … -m tests.train.several_processes '[[CASE, OUT, RUN, STOP], …]'` trains each CASE and
leaves what it came to in OUT; it saves to and goes on from RUN (null: nowhere), and the last process asks to stop when
it computes its micro-batch number STOP (null: never).
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel

from sartor.adapters.lora import LoraSettings, add_lora
from sartor.base.distributed import barrier, is_main, leave, process_group, rank, world_size
from sartor.base.errors import SartorError
from sartor.base.run_folder import RunFolder
from sartor.base.seeds import seed_everything
from sartor.data.batches import BatchSource
from sartor.models.forward import use_packed_attention
from sartor.recipes.examples import supervised_loss
from sartor.train.checkpoint import Checkpoints
from sartor.train.likelihood import mean_loss
from sartor.train.loop import LoopSettings, fit
from sartor.train.optimizer import trainable_parameters
from sartor.train.parallel import place, whole_model
from tests import tiny_models

LENGTHS = [5, 9, 14, 7, 22, 11, 3, 18, 6, 10]
CASES: dict[str, dict[str, Any]] = {
    "lora-ddp": {"lora": True, "parallel": "ddp"},
    "lora-bf16-fsdp": {"lora": True, "parallel": "fsdp", "dtype": torch.bfloat16},
    "whole-ddp": {"parallel": "ddp"},
    "whole-bf16-fsdp": {"parallel": "fsdp", "dtype": torch.bfloat16},
    "whole-8bit-fsdp": {"parallel": "fsdp", "optimizer": "adamw8bit"},
    "whole-muon-fsdp": {"parallel": "fsdp", "optimizer": "muon"},
    "recomputed-fsdp": {"parallel": "fsdp", "recompute": True},
    "nan-fsdp": {"parallel": "fsdp", "bad": True},
}


def made(case: dict[str, Any]) -> PreTrainedModel:
    model = use_packed_attention(tiny_models.model()).to(case.get("dtype", torch.float32))
    seed_everything(1)
    if case.get("lora"):
        add_lora(model, LoraSettings(rank=4))
    else:
        model.requires_grad_(True)
    if case.get("recompute"):
        model.activation_checkpointing_enable()
    return model


def train(name: str, run: Path | None = None, stop: int | None = None) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The trained model, whole in the main process, and the metrics of each step."""
    case = CASES[name]
    model = place(made(case), case["parallel"])
    rows = BatchSource(tiny_models.rows(LENGTHS, shared=9), 5, 60, seed=5, processes=world_size())
    held_out = tiny_models.rows([8, 12], shared=9, seed=9)
    settings = LoopSettings(
        6, 1e-2, 2, evaluate_every=2, save_every=2, seed=3, weight_decay=0.1, optimizer=case.get("optimizer", "adamw"),
        accept_changed_environment=True,
    )  # fmt: skip
    calls = 0

    def loss_of(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if stop is not None and rank() == world_size() - 1 and calls == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        loss, parts = supervised_loss(*arguments)
        return (loss * float("nan") if case.get("bad") and rank() == world_size() - 1 else loss), parts

    folder = None
    if run is not None:
        if is_main():
            folder = RunFolder.open(run) if run.is_dir() else RunFolder.create(run)
        barrier()
        folder = folder or RunFolder(run)
    checkpoints = None if folder is None else Checkpoints(folder)
    try:
        result = fit(
            model, rows, loss_of, settings, lambda model: {"dev_loss": mean_loss(model, held_out, 40)}, checkpoints
        )
    finally:
        if checkpoints is not None and folder is not None:
            checkpoints.close()
            folder.close()
    return whole_model(model, lambda: made(case)), {"history": result.history, "best": result.best}


def do(name: str, out: Path, run: Path | None = None, stop: int | None = None) -> None:
    """Train and leave in `out` the main process's weights and metrics, or each process's error."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        model, found = train(name, run, stop)
    except SartorError as error:
        (out / f"error-{rank()}").write_text(f"{error.exit_code} {error}")
        return
    if is_main():
        weights = {label: weight.detach().clone() for label, weight in trainable_parameters(model).items()}
        save_file(weights, out / "weights.safetensors")
        (out / "found.json").write_text(json.dumps(found))


def main(jobs: list[list[Any]]) -> None:
    torch.set_num_threads(1)
    with process_group():
        for name, out, run, stop in jobs:
            do(name, Path(out), None if run is None else Path(run), stop)
            barrier()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
    leave(0)
