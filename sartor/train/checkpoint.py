"""What a training loop needs to go on exactly where it was: weights, optimizer, progress and the metrics so far.

The random state and the data position are functions of the step, so the step alone restores them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from sartor.base.metrics import MetricsLog
from sartor.base.run_folder import RunFolder
from sartor.train.optimizer import load_optimizer_tensors, optimizer_tensors


@dataclass
class LoopState:
    """Where a run stands. `best` holds the metrics of the best evaluation, `history` one record a step."""

    step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    without_progress: int = 0
    stopped_early: bool = False
    train_loss: float = float("nan")
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def record(self, metrics: dict[str, float]) -> None:
        """Count one more step. `train_loss` is a running mean that forgets over about twenty steps."""
        self.step += 1
        loss = metrics["loss"]
        self.train_loss = loss if self.step == 1 else 0.95 * self.train_loss + 0.05 * loss
        self.history.append(metrics)


SAVED_FIELDS = ("step", "best", "best_step", "without_progress", "stopped_early", "train_loss", "seconds")


class Checkpoints:
    """Saves and restores a loop in its run folder; also writes metrics.jsonl."""

    def __init__(self, run: RunFolder):
        self.run = run
        self.metrics: MetricsLog = run.metrics()

    def log(self, state: LoopState) -> None:
        self.metrics.append(state.history[-1])

    def save(self, state: LoopState, trainable: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        self.metrics.sync()
        progress = {name: getattr(state, name) for name in SAVED_FIELDS} | {"metrics_bytes": self.metrics.position}
        weights = {name: parameter.detach().cpu().contiguous() for name, parameter in trainable.items()}
        self.run.save_checkpoint(
            state.step,
            {
                "weights.safetensors": save(weights),
                "best.safetensors": save({name: value.cpu() for name, value in state.best_weights.items()}),
                "optimizer.safetensors": save(optimizer_tensors(optimizer, trainable)),
                "progress.json": json.dumps(progress, indent=2),
            },
        )

    def restore(self, trainable: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> LoopState | None:
        """Load the newest whole checkpoint into the parameters and the optimizer; None when there is none."""
        found = self.run.newest_checkpoint()
        if found is None:
            self.metrics.rewind(0)
            return None
        progress = json.loads((found.folder / "progress.json").read_text())
        self.metrics.rewind(progress.pop("metrics_bytes"))
        weights = load_file(found.folder / "weights.safetensors")
        with torch.no_grad():
            for name, parameter in trainable.items():
                parameter.copy_(weights[name])
        load_optimizer_tensors(optimizer, trainable, load_file(found.folder / "optimizer.safetensors"))
        state = LoopState(**progress)
        best = load_file(found.folder / "best.safetensors")
        state.best_weights = {name: value.to(trainable[name].device) for name, value in best.items()}
        state.history = [json.loads(line) for line in self.metrics.path.read_text().splitlines()]
        return state

    def close(self) -> None:
        self.metrics.close()
