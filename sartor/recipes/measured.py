"""What trying a run in small has shown, and how it is tried: in a process of its own (`sartor.recipes.measuring`)."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.base.errors import DataError, Interrupted, QualityError, SartorError, UsageError
from sartor.recipes.preference_settings import DpoSettings, RewardSettings
from sartor.recipes.settings import TrainingConfig
from sartor.recipes.supervised import SupervisedConfig

REQUEST_FILE, MEASURED_FILE = "request.json", "measured.json"
SETTINGS: dict[str, type[TrainingConfig]] = {"finetune": SupervisedConfig, "reward": RewardSettings, "dpo": DpoSettings}
PROGRAM = "sartor.recipes.measuring"
KINDS = {kind.exit_code: kind for kind in (SartorError, UsageError, DataError, QualityError, Interrupted)}


@dataclass(frozen=True)
class Work:
    """What is to be done. Tokens of a step are those computed (a beginning that rows share counts once); `row_tokens`
    those of its rows. `worst_*` is of the micro-batch with the most tokens."""

    parameters: int
    trained_parameters: int
    rows: int
    epoch_row_tokens: int
    epoch_trained_tokens: int
    steps_per_epoch: int
    steps: int  # for the epochs asked for
    step_tokens: float
    step_row_tokens: float
    step_trained_tokens: float
    worst_step: int
    worst_tokens: int
    worst_rows: int
    worst_trained_tokens: int


@dataclass(frozen=True)
class Memory:
    """Bytes. `phases` are the peaks of start, evaluation, training, generation, checkpoint and result; `peak` is the
    highest. `available` is what the process could have had when it began, `started` what it held when all was loaded.
    `masters` are float32 copies of trained weights, `best` the copy of the best ones."""

    device: str
    available: int
    started: int
    weights: int
    masters: int
    gradients: int
    optimizer_state: int
    best: int
    phases: dict[str, int]

    @property
    def peak(self) -> int:
        return max(self.phases.values())

    @property
    def activations(self) -> int:
        """What the training steps took beside all that has a name."""
        named = self.masters + self.gradients + self.optimizer_state
        return max(self.phases["training"] - self.started - named, 0)


@dataclass(frozen=True)
class Times:
    """Seconds, and what is written in bytes. `token` is per computed token of a whole optimizer step: the median over
    `steps_tried` steps, between the quickest (`least`) and the slowest (`most`). `beforehand` is what a reference model
    takes for all rows. `evaluation` is of all held-out rows
    and, where there is a task, of its answers, which alone take `generation`."""

    steps_tried: int
    token: float
    token_least: float
    token_most: float
    start: float
    beforehand: float
    evaluation: float
    generation: float
    checkpoint: float
    result: float
    checkpoint_bytes: int
    result_bytes: int
    watts: float
    watts_source: str


@dataclass(frozen=True)
class Measured:
    work: Work
    memory: Memory
    times: Times

    @staticmethod
    def of(raw: dict[str, Any]) -> "Measured":
        return Measured(Work(**raw["work"]), Memory(**raw["memory"]), Times(**raw["times"]))


def try_run(config: TrainingConfig, sample_steps: int) -> Measured | None:
    """What the run would take, by the steps that need most memory and `sample_steps` typical ones (0: memory only).

    None when the memory did not suffice even for that. SartorError as the run itself would raise it.
    """
    kind = next(kind for kind, settings in SETTINGS.items() if isinstance(config, settings))
    shared = {name: getattr(config, name) for name in SETTINGS[kind].model_fields}
    found = measured_apart(PROGRAM, {"kind": kind, "config": shared, "sample_steps": sample_steps})
    return None if found is None else Measured.of(found)


def measured_apart(program: str, request: dict[str, Any]) -> dict[str, Any] | None:
    """What the module `program` finds out about the request (and `began`, time.time of now) in a process of its own;
    None when the memory did not suffice. SartorError as the program raised it."""
    with tempfile.TemporaryDirectory(prefix="sartor-plan-") as name:
        folder = Path(name)
        (folder / REQUEST_FILE).write_text(json.dumps(request | {"began": time.time()}))
        code = subprocess.run([sys.executable, "-m", program, name], stdout=sys.stderr, check=False).returncode
        if code == -signal.SIGKILL:
            return None  # by the system, which had no more memory
        if not (folder / MEASURED_FILE).is_file():
            raise SartorError(
                f"trying the run ended with exit code {code}", hint="what it said is above; the run would fail alike"
            )
        found: dict[str, Any] = json.loads((folder / MEASURED_FILE).read_text())
    if "error" in found:
        error = found["error"]
        raise KINDS[error["exit_code"]](error["what"], where=error["where"], hint=error["hint"])
    return None if found.get("out_of_memory") else found
