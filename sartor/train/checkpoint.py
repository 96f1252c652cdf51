"""What a training loop needs to go on exactly where it was: weights, optimizer, progress and the metrics so far.

The random state and the data position are functions of the step, so the step alone restores them.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sartor.base.console import warn
from sartor.base.device import cpu_name, device
from sartor.base.distributed import barrier, from_main, is_main, world_size
from sartor.base.errors import DataError, UsageError
from sartor.base.metrics import MetricsLog, read_metrics
from sartor.base.run_folder import RunFolder
from sartor.base.tensor_file import TensorFile, read_tensors
from sartor.train.masters import MasterWeights
from sartor.train.optimizer import Optimizer
from sartor.train.shards import Kind, SavedTensors, staged_files


@dataclass
class LoopState:
    """Where a run stands. `best` holds the metrics of the best evaluation, `history` one record a step, `source` what
    the coming batches depend on beside the step."""

    step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    without_progress: int = 0
    stopped_early: bool = False
    train_loss: float = float("nan")
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    source: dict[str, Tensor] = field(default_factory=dict)

    def record(self, metrics: dict[str, float]) -> None:
        """Count one more step. `train_loss` is a running mean that forgets over about twenty steps."""
        self.step += 1
        loss = metrics["loss"]
        self.train_loss = loss if self.step == 1 else 0.95 * self.train_loss + 0.05 * loss
        self.history.append(metrics)


SAVED_FIELDS = ("step", "best", "best_step", "without_progress", "stopped_early", "train_loss", "seconds")
TIMING_FILE = "timing.jsonl"
SOURCE_FILE = "source.safetensors"


class Checkpoints:
    """Saves and restores a loop in its run folder; also writes metrics.jsonl, which is the same for the same run, and
    timing.jsonl (`step`, `seconds` so far, `tokens_per_second` of the step), which never is.

    Of several processes all call every method, and all see the folder; the main one writes what is whole.
    """

    def __init__(self, run: RunFolder):
        self.run = run
        self._logs = [run.metrics(), MetricsLog(run.path / TIMING_FILE)] if is_main() else []

    def log(self, state: LoopState, tokens_per_second: float) -> None:
        """One line of metrics and one of timing, for the step just made."""
        timing = {"step": state.step, "seconds": state.seconds, "tokens_per_second": tokens_per_second}
        for log, record in zip(self._logs, (state.history[-1], timing), strict=False):
            log.append(record)

    def save(self, state: LoopState, optimizer: Optimizer) -> None:
        for log in self._logs:
            log.sync()
        place = self.run.path / "checkpoints" / f"shards-{state.step}"
        with staged_files(place, _kinds(state, optimizer)) as files:
            if not is_main():
                return
            progress = {name: getattr(state, name) for name in SAVED_FIELDS} | {
                "metrics_bytes": self._logs[0].position,
                "timing_bytes": self._logs[1].position,
                "environment": environment(),
            }
            if state.source:
                files[SOURCE_FILE] = TensorFile(state.source)
            self.run.save_checkpoint(state.step, {**files, "progress.json": json.dumps(progress, indent=2)})

    def restore(self, optimizer: Optimizer, accept_changed_environment: bool = False) -> LoopState | None:
        """Load the newest whole checkpoint into weights and optimizer; None when there is none. UsageError when it
        was made where numbers are rounded differently, unless that is accepted."""
        folder = self._newest()
        if folder is None:
            self._rewind(0, 0)
            return None
        progress = self.run.read_json(f"{folder.relative_to(self.run.path)}/progress.json")
        _check_environment(progress.pop("environment"), folder, accept_changed_environment)
        self._rewind(progress.pop("metrics_bytes"), progress.pop("timing_bytes"))
        _load(folder, optimizer)
        state = LoopState(**progress)
        if state.best:
            state.best_weights = _rows(folder, "best", optimizer.weights)
        if (folder / SOURCE_FILE).is_file():
            state.source = read_tensors(folder / SOURCE_FILE)
        state.history = read_metrics(self.run.path / "metrics.jsonl")
        return state

    def close(self) -> None:
        for log in self._logs:
            log.close()

    def _newest(self) -> Path | None:
        """The main process looks for it, so that all take the same."""
        found = self.run.newest_checkpoint() if is_main() else None
        if found is not None:
            self.run.point_latest(found.step)
        (step,) = from_main([-1 if found is None else found.step])
        return None if step < 0 else self.run.path / "checkpoints" / f"step-{int(step)}"

    def _rewind(self, *positions: int) -> None:
        for log, position in zip(self._logs, positions, strict=False):
            log.rewind(position)
        barrier()  # before the others read the metrics


def environment() -> dict[str, Any]:
    """What the rounding of sums depends on: bits are the same only where all of this is."""
    on = device()
    return {
        "torch": torch.__version__,
        "machine": torch.cuda.get_device_name(on) if on.type == "cuda" else cpu_name(),
        "threads": torch.get_num_threads(),
        "processes": world_size(),
    }


def _check_environment(saved: dict[str, Any], folder: Path, accepted: bool) -> None:
    changed = [f"{name}: {saved[name]}, now {now}" for name, now in environment().items() if saved[name] != now]
    if not changed:
        return
    if not accepted:
        raise UsageError(
            f"this run was begun elsewhere, so it would not go on bit for bit ({'; '.join(changed)})",
            where=str(folder),
            hint="go on where it was begun, or accept it with --accept-changed-environment",
        )
    if is_main():
        warn(f"from here on the run is not bit for bit the one that was begun ({'; '.join(changed)})")


def _kinds(state: LoopState, optimizer: Optimizer) -> dict[str, Kind]:
    weights = optimizer.weights
    return {
        "weights": _kind(dict(weights.masters), weights),
        "best": _kind(state.best_weights, weights),
        "optimizer": _kind(optimizer.state(), weights),
    }


def _kind(tensors: dict[str, Tensor], weights: MasterWeights) -> Kind:
    """Tensors named after the weight that they belong to (`…:NAME` or `NAME`) are shared out as it is."""
    owners = {label: label.rpartition(":")[2] for label in tensors}
    shared = {label for label, name in owners.items() if name in weights.sharded and tensors[label].ndim}
    return Kind(
        whole={label: tensor for label, tensor in tensors.items() if label not in shared},
        shared={label: tensor for label, tensor in tensors.items() if label in shared},
        num_rows={label: weights.shapes[owners[label]][0] for label in sorted(shared)},
    )


def _rows(folder: Path, kind: str, weights: MasterWeights) -> dict[str, Tensor]:
    """This process's rows of each trained weight, on the weights' devices. DataError when others were saved."""
    with SavedTensors(folder, kind) as saved:
        if set(saved.names()) != weights.masters.keys():
            raise DataError(
                "this checkpoint holds other weights than those that are trained",
                where=str(folder),
                hint="give the settings that the run was begun with, or choose another --out",
            )
        return {name: saved.read(name, weights.rows(name)).to(each.device) for name, each in weights.masters.items()}


@torch.no_grad()
def _load(folder: Path, optimizer: Optimizer) -> None:
    saved_rows = _rows(folder, "weights", optimizer.weights)
    for name, master in optimizer.weights.masters.items():
        master.copy_(saved_rows[name])
    optimizer.weights.publish()
    with SavedTensors(folder, "optimizer") as saved:
        optimizer.load_state(
            {label: saved.read(label, optimizer.weights.rows(label.rpartition(":")[2])) for label in saved.names()}
        )
