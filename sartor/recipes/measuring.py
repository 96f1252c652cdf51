"""A training run in small: the steps that need most memory, a few typical ones, one evaluation, one checkpoint and
the result, each done as the run does it.

    python -m sartor.recipes.measuring FOLDER

reads FOLDER/request.json and leaves FOLDER/measured.json (see `sartor.recipes.measured`). It is a process of its own,
because a process's peak memory holds all that went before, and because the memory that an allocator keeps is part of
what a run needs.
"""

import functools
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sartor.base.device import device, memory
from sartor.base.energy import EnergyMeter
from sartor.base.errors import SartorError
from sartor.base.peak_memory import PeakMemory
from sartor.base.run_folder import RunFolder
from sartor.recipes.dpo_stage import DpoStage
from sartor.recipes.examples import SupervisedStage
from sartor.recipes.kto_stage import KtoStage
from sartor.recipes.measured import MEASURED_FILE, REQUEST_FILE, SETTINGS, Measured, Memory, Times, Work
from sartor.recipes.out_of_memory import is_out_of_memory
from sartor.recipes.planning import Plan
from sartor.recipes.preference_settings import DpoSettings
from sartor.recipes.reward_stage import RewardStage
from sartor.recipes.stage import Stage
from sartor.recipes.step_count import epochs_steps
from sartor.recipes.training import loop_settings
from sartor.train.checkpoint import Checkpoints, LoopState
from sartor.train.loop import fit
from sartor.train.optimizer import Optimizer, trainable_parameters
from sartor.train.plan import (
    EpochSource,
    ProbeSource,
    Speed,
    StepSize,
    mean_tokens,
    step_sizes,
    typical_steps,
    worst_steps,
)

EVALUATED_MICRO_BATCHES = 8  # of held-out rows at most, so that many rows do not make planning long
FLOAT32_BYTES = 4


def _preference_stage(config: DpoSettings) -> Stage[DpoSettings]:
    return KtoStage(config) if config.loss == "kto" else DpoStage(config)


STAGES: dict[str, Callable[[Any], Stage[Any]]] = {
    "finetune": SupervisedStage,
    "reward": RewardStage,
    "dpo": _preference_stage,
}


class WatchedCheckpoints(Checkpoints):
    """Checkpoints that tell what saving takes, and how large the optimizer's state and the masters are."""

    def __init__(self, run: RunFolder, peak: PeakMemory):
        super().__init__(run)
        self.peak, self.seconds = peak, 0.0
        self.optimizer_bytes = self.master_bytes = self.best_bytes = 0

    def save(self, state: LoopState, optimizer: Optimizer) -> None:
        weights = optimizer.weights
        copies = [master for name, master in weights.masters.items() if master is not weights.parameters[name]]
        self.master_bytes = bytes_of(copies)
        self.optimizer_bytes = bytes_of(optimizer.state().values())
        self.best_bytes = bytes_of(state.best_weights.values())
        begun = time.perf_counter()
        super().save(state, optimizer)
        self.seconds = time.perf_counter() - begun
        self.peak.end("checkpoint")


class WatchedEvaluation:
    """Evaluates as the run does, on a sample of the held-out rows, and tells what it takes."""

    def __init__(self, stage: Stage[Any], trial: Stage[Any], peak: PeakMemory):
        answers = isinstance(trial, SupervisedStage) and trial.prepared.task is not None
        self._loss = trial.without_task() if isinstance(trial, SupervisedStage) else trial
        self._all = trial if answers else None
        self._share = stage.dev_tokens / trial.dev_tokens
        self._beforehand_share = stage.beforehand_tokens / trial.dev_tokens
        self._peak = peak
        self.begun = self.loss_seconds = self.generation_seconds = 0.0

    @property
    def seconds(self) -> float:
        """Of all held-out rows, and of the answers."""
        return self.loss_seconds * self._share + self.generation_seconds

    @property
    def beforehand_seconds(self) -> float:
        """Of what is computed before the first step."""
        return self.loss_seconds * self._beforehand_share

    def __call__(self, model: nn.Module) -> dict[str, float]:
        self._peak.end("training")
        self.begun = time.perf_counter()
        measured = self._loss.evaluate(model)
        self.loss_seconds = time.perf_counter() - self.begun
        self._peak.end("evaluation")
        if self._all is not None:
            measured = self._all.evaluate(model)
            self.generation_seconds = max(time.perf_counter() - self.begun - 2 * self.loss_seconds, 0.0)
            self._peak.end("generation")
        return measured


def measure(stage_of: Callable[[], Stage[Any]], sample_steps: int, began: float, folder: Path) -> Measured:
    """Do in small what the run would do, in the new `folder`. `began` is when the process was started (time.time)."""
    peak = PeakMemory(device())
    available = memory(device()).available_bytes + peak.now_bytes()
    stage = stage_of()
    trial = stage.trial(EVALUATED_MICRO_BATCHES * stage.config.micro_batch_tokens)
    model = trial.model()
    config, source = stage.config, trial.source
    start_seconds, started_bytes = time.time() - began, peak.now_bytes()
    peak.end("start")

    num_steps = epochs_steps(config, source.steps_per_epoch)
    sizes = step_sizes(source, num_steps)
    worst = worst_steps(sizes)
    typical = typical_steps(sizes, sample_steps) if sample_steps else []
    chosen = [*worst, *typical] if typical else [worst[0], *worst]  # the first step warms up and is not counted
    probe = ProbeSource(source, [size.step for size in chosen])
    evaluation = WatchedEvaluation(stage, trial, peak)
    with RunFolder.create(folder) as run:
        checkpoints = WatchedCheckpoints(run, peak)
        settings = loop_settings(config, Plan(len(chosen), len(chosen), 0.0, {}), stage.best_by)
        with EnergyMeter() as energy:
            begun = time.perf_counter()
            fit(model, probe, trial.loss_of, settings, evaluation, checkpoints)
            fitting_seconds = time.perf_counter() - begun
        checkpoints.close()
        result_seconds = _write_result(trial, model, run)
        peak.end("result")

    step_seconds = _differences([*probe.marks, evaluation.begun])
    counted = len(typical) or len(worst)
    speed = Speed.of([size.tokens for size in chosen[-counted:]], step_seconds[-counted:])
    return Measured(
        _work(model, source, num_steps, sizes, worst),
        Memory(
            device=str(device()),
            available=available,
            started=started_bytes,
            weights=bytes_of([*model.parameters(), *model.buffers()]),
            masters=checkpoints.master_bytes,
            gradients=FLOAT32_BYTES * _count(trainable_parameters(model).values()),
            optimizer_state=checkpoints.optimizer_bytes,
            best=checkpoints.best_bytes,
            phases=peak.phases,
        ),
        Times(
            steps_tried=counted,
            token=speed.seconds_per_token,
            token_least=speed.least,
            token_most=speed.most,
            start=start_seconds,
            beforehand=evaluation.beforehand_seconds,
            evaluation=evaluation.seconds,
            generation=evaluation.generation_seconds,
            checkpoint=checkpoints.seconds,
            result=result_seconds,
            checkpoint_bytes=folder_bytes(folder / "checkpoints"),
            result_bytes=folder_bytes(folder / "result"),
            watts=energy.watt_hours * 3600 / fitting_seconds,
            watts_source=energy.source,
        ),
    )


def _work(model: nn.Module, source: EpochSource, num_steps: int, sizes: list[StepSize], worst: list[StepSize]) -> Work:
    return Work(
        parameters=_count(model.parameters()),
        trained_parameters=_count(trainable_parameters(model).values()),
        rows=len(source.rows),
        epoch_row_tokens=sum(row.num_tokens for row in source.rows),
        epoch_trained_tokens=sum(row.num_trained for row in source.rows),
        steps_per_epoch=source.steps_per_epoch,
        steps=num_steps,
        step_tokens=mean_tokens(sizes),
        step_row_tokens=sum(size.row_tokens for size in sizes) / len(sizes),
        step_trained_tokens=sum(size.trained for size in sizes) / len(sizes),
        worst_step=worst[0].step,
        worst_tokens=worst[0].largest_tokens,
        worst_rows=worst[0].largest_rows,
        worst_trained_tokens=worst[-1].largest_trained,
    )


def _write_result(stage: Stage[Any], model: Any, run: RunFolder) -> float:
    """Write what was trained as the run would; seconds."""
    begun = time.perf_counter()
    stage.quality(model)
    _, files = stage.files(model)
    run.write_folder("result", files)
    return time.perf_counter() - begun


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Bytes of the tensors' elements."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _count(parameters: Iterable[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _differences(moments: list[float]) -> list[float]:
    return [later - earlier for earlier, later in zip(moments, moments[1:], strict=False)]


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below the folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def answer(folder: Path, measured: Callable[[dict[str, Any]], Any]) -> None:
    """Leave in the folder what `measured` makes of the request there (a dataclass), or how it failed."""
    try:
        found: dict[str, Any] = asdict(measured(json.loads((folder / REQUEST_FILE).read_text())))
    except SartorError as error:
        told = {"what": error.what, "where": error.where, "hint": error.hint}
        found = {"error": told | {"exit_code": error.exit_code}}
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        found = {"out_of_memory": True}
    (folder / MEASURED_FILE).write_text(json.dumps(found))


def main(folder: Path) -> None:
    def measured(request: dict[str, Any]) -> Measured:
        config = SETTINGS[request["kind"]].model_validate(request["config"])
        stage_of = functools.partial(STAGES[request["kind"]], config)
        return measure(stage_of, request["sample_steps"], request["began"], folder / "run")

    answer(folder, measured)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
