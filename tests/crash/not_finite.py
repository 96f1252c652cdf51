"""R10: a loss or gradient that is not finite never reaches the weights."""

import functools
from pathlib import Path

from safetensors.torch import load_file

from sartor.base.run_folder import RunFolder
from tests.crash.bench import Bench
from tests.crash.recipes import POISONS

FIRST_STEP = 3  # 0-based; the steps before it are also made while the speed is measured


def stopped_before_the_step(bench: Bench) -> None:
    """R10: NaN or infinity, in the loss or the gradient, at a step drawn anew each time."""
    num_steps = max(RunFolder(bench.world.reference / "run").steps())
    for turn in range(bench.num_tries):
        kind, step = POISONS[turn % len(POISONS)], bench.draw.randrange(FIRST_STEP, num_steps)
        with bench.one_try(f"{kind} at step {step + 1}") as folder:
            poison = functools.partial(bench.world.recipe.poison, kind, step)
            ended = bench.start(folder, prepare=poison).finish()
            bench.check_explained(ended)
            bench.check(f"at step {step + 1}" in ended.said, f"the step is not named: {ended.said[-500:]}")
            bench.check(bench.world.recipe.row_words in ended.said, f"no row is named: {ended.said[-500:]}")
            logged = (folder / "run" / "metrics.jsonl").read_text().splitlines()
            bench.check(len(logged) == step, f"{len(logged)} steps were logged, not the {step} good ones")
            _check_finite(bench, folder / "run")
            bench.check_finishes(folder)


def _check_finite(bench: Bench, run: Path) -> None:
    newest = RunFolder(run).newest_checkpoint()
    if newest is None:
        return
    for file in newest.folder.glob("*.safetensors"):
        for name, values in load_file(file).items():
            bench.check(bool(values.isfinite().all()), f"{name} in {file.name} of step {newest.step} is not finite")
