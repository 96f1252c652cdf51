"""R3: killed at every system call that changes a file, there is always a whole checkpoint and no litter."""

import json
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sartor.base.durable import Content
from sartor.base.metrics import MetricsLog
from sartor.base.run_folder import Checkpoint, RunFolder
from tests.crash.bench import Bench, hushed
from tests.crash.children import Child, Ended
from tests.crash.system_calls import GO_ON, WHY_NOT, Call, Verdict

STEP = 3


def files_of(step: int) -> dict[str, Content]:
    """A checkpoint that is known by heart: its size depends on the step."""
    import torch

    from sartor.base.tensor_file import TensorFile

    return {
        "weights.safetensors": TensorFile({"w": torch.full((300 + step,), float(step))}),
        "optimizer.safetensors": TensorFile({"m": torch.full((700,), float(-step)), "step": torch.tensor(step)}),
        "progress.json": json.dumps({"step": step, "metrics_bytes": 0}),
    }


def save_steps(run: Path, steps: Sequence[int]) -> None:
    """A run that has saved `steps`, keeping two."""
    with RunFolder.open(run) if run.is_dir() else RunFolder.create(run) as folder:
        with MetricsLog(run / "metrics.jsonl") as log:
            log.append({"step": steps[-1]})
            log.sync()
        for step in steps:
            folder.save_checkpoint(step, files_of(step), keep=2)


def is_as_saved(checkpoint: Checkpoint, example: Path) -> bool:
    """Whether it is byte for byte the one of its step in the run `example`, which has kept all of them."""
    return all(
        (checkpoint.folder / file.name).read_bytes() == file.read_bytes()
        for file in (example / "checkpoints" / f"step-{checkpoint.step}").iterdir()
    )


@dataclass(frozen=True)
class Scene:
    """A run before the moment of death, the work that is killed, and the steps one of which must be the newest."""

    name: str
    before: Callable[[Path], None]
    work: Callable[[Path], None]
    allowed: tuple[int | None, ...]


def _first(run: Path) -> None:
    RunFolder.create(run).close()


def _two_saved(run: Path) -> None:
    save_steps(run, [1, 2])


def _damaged_third(run: Path) -> None:
    save_steps(run, [1, 2, STEP])
    (run / "checkpoints" / f"step-{STEP}" / "weights.safetensors").write_bytes(b"torn")


def _litter(run: Path) -> None:
    save_steps(run, [1, 2, STEP])
    checkpoints = run / "checkpoints"
    (checkpoints / f"step-{STEP}").rename(checkpoints / f".step-{STEP}.old")
    shutil.copytree(checkpoints / "step-2", checkpoints / ".step-4.new")
    (run / ".latest.new").write_text("step")


def _save(run: Path) -> None:
    save_steps(run, [STEP])


SCENES = (
    Scene("the first save", _first, _save, (None, STEP)),
    Scene("a save with a rotation", _two_saved, _save, (2, STEP)),
    Scene("a save over a damaged one", _damaged_third, _save, (2, STEP)),
    Scene("cleaning after a crash", _litter, lambda run: RunFolder.open(run).close(), (STEP,)),
    Scene("a stop after a save", _two_saved, lambda run: save_steps(run, [STEP, 4]), (2, STEP, 4)),
)


def killed_while_saving(bench: Bench) -> None:
    """R3: every call of a save, a rotation, a deletion and a clean-up; and calls of the whole command."""
    if WHY_NOT is not None:
        bench.skipped.append(WHY_NOT)
        return
    example = bench.folder / "example"
    Child(lambda: _keep_all(example), bench.folder).finish()
    for scene in SCENES:
        _at_every_call(bench, scene, example)
    _in_the_command(bench)


def _keep_all(run: Path) -> None:
    with RunFolder.create(run) as folder:
        for step in (1, 2, STEP, 4):
            folder.save_checkpoint(step, files_of(step), keep=9)


def _at_every_call(bench: Bench, scene: Scene, example: Path) -> None:
    template = bench.folder / scene.name
    Child(lambda: scene.before(template / "run"), _made(template)).finish()
    for half in (False, True):
        number, ended_by_itself = 0, False
        while not ended_by_itself:
            number += 1
            with bench.one_try(f"{scene.name}, killed {'inside' if half else 'before'} call {number}") as folder:
                shutil.copytree(template, folder, dirs_exist_ok=True)
                run = folder / "run"
                ended = watched(Child(lambda run=run: scene.work(run), folder, watched=True), run, number, half)
                ended_by_itself = ended.code != -signal.SIGKILL
                bench.check(ended.code in (0, -signal.SIGKILL), f"ended with {ended.code}: {ended.said}")
                _check(bench, scene, run, example)
            if ended_by_itself:
                bench.tries -= 1


def _check(bench: Bench, scene: Scene, run: Path, example: Path) -> None:
    with hushed(), RunFolder.open(run) as folder:
        newest = folder.newest_checkpoint()
        step = None if newest is None else newest.step
        bench.check(step in scene.allowed, f"the newest checkpoint is {step}, not one of {scene.allowed}")
        bench.check(newest is None or is_as_saved(newest, example), f"checkpoint {step} is not what was saved")
    litter = [path for path in run.rglob(".*") if path.name != ".lock"]
    bench.check(not litter, f"left over: {[str(path.relative_to(run)) for path in litter]}")
    pointer = run / "latest"
    if pointer.is_file():
        bench.check((run / "checkpoints" / pointer.read_text().strip()).is_dir(), f"latest says {pointer.read_text()}")
    with RunFolder.open(run) as folder:
        folder.save_checkpoint(9, {"progress.json": "{}"})
        bench.check(folder.newest_checkpoint() == Checkpoint(9, run / "checkpoints" / "step-9"), "no save after it")


def _in_the_command(bench: Bench) -> None:
    """The recipe's own command, killed before some of its calls (all, when so many tries are asked for)."""
    calls: list[Call] = []
    with bench.one_try("watched") as folder:
        child = bench.start(folder, watched=True)
        ended = child.watched(folder / "run", lambda call: calls.append(call) or GO_ON)
        bench.check(ended.code == 0, f"ended with {ended.code}: {ended.said[-2000:]}")
        bench.check_same(folder)
    changes = sum(call.changes for call in calls)
    bench.check(changes, "no call that changes a file was seen")
    for number in sorted(bench.draw.sample(range(1, changes + 1), min(bench.num_tries, changes))):
        with bench.one_try(f"the command killed before call {number} of {changes}") as folder:
            ended = watched(bench.start(folder, watched=True), folder / "run", number, half=False)
            bench.check(ended.code == -signal.SIGKILL, f"ended with {ended.code}: {ended.said[-2000:]}")
            bench.check_finishes(folder)


def watched(child: Child, run: Path, number: int, half: bool) -> Ended:
    """Let the child run until its `number`-th call that changes a file (with `half`: write), and kill it there."""
    count = 0

    def before(call: Call) -> Verdict:
        nonlocal count
        count += call.name == "write" if half else call.changes
        due = count == number and (call.name == "write" if half else call.changes)
        return Verdict(kill=due, half=due and half)

    return child.watched(run, before)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
