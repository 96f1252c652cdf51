"""`python -m tests.crash.broken NAME`: a test of the campaign with a part of Sartor broken on purpose, or without a
right that it needs. Prints its tries, failures and what was skipped as JSON; test_broken.py says what they must be.

In a process of its own, because it forks.
"""

import contextlib
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, as in the campaign

from sartor.data.batches import BatchSource
from sartor.data.windows import WindowSource
from sartor.retrieval.store import KnowledgeStore
from sartor.train import rollouts
from tests.crash import choice, knowledge, order, writing_fails
from tests.crash.bench import Bench, World
from tests.crash.recipes import FINETUNE, PPO, PRETRAIN, Recipe

NO_RUN_SECONDS = 0.0


def random_steps(source_class: Any) -> None:
    """Steps that nothing decides."""
    step = source_class.step
    source_class.step = lambda source, number: step(source, random.randrange(50))


def random_answers() -> None:
    rollouts.answer_seed = lambda *numbers: random.randrange(2**31)


def other_rows_in_several_processes() -> None:
    """Some of them are left out where a step is divided."""
    rows_of = BatchSource.rows_of
    BatchSource.rows_of = lambda source, step: rows_of(source, step)[source.processes > 1 :]  # type: ignore[method-assign]


def does_nothing(name: str) -> None:
    setattr(KnowledgeStore, name, lambda store, *arguments: None)


def no_mounts() -> None:
    writing_fails._mount = lambda *arguments: False


def nothing() -> None:
    """The same test without anything broken."""


def mounts_alone(bench: Bench) -> None:
    writing_fails._small_disk(bench)
    writing_fails._read_only(bench)


def wrong_choice(bench: Bench) -> None:
    """A run that decides rightly and writes something else; then, as in the campaign, is decided again."""
    inputs = bench.folder / "inputs"
    inputs.mkdir()
    choice.make_inputs(inputs)
    folder = bench.folder / "run"
    folder.mkdir()
    bench.tries += 1
    choice._made(choice._start(inputs, folder))
    bench.check(not choice.not_as_decided(inputs, folder), "without a fault")
    for name in ("choice.json", "report.md"):
        file = folder / choice.RUN / name
        file.write_text(file.read_text().replace("prompt", "rag", 1))
        bench.failures += choice.not_as_decided(inputs, folder)


BROKEN: dict[str, tuple[Recipe, Callable[[], None], Callable[[Bench], None], int]] = {
    "write does nothing": (FINETUNE, lambda: does_nothing("write"), knowledge.random_operations, 20),
    "remove does nothing": (FINETUNE, lambda: does_nothing("remove"), knowledge.random_operations, 40),
    "windows at random": (PRETRAIN, lambda: random_steps(WindowSource), order.order_is_a_function, 3),
    "answers at random": (PPO, random_answers, order.order_is_a_function, 2),
    "rows at random": (FINETUNE, lambda: random_steps(BatchSource), order.order_is_a_function, 3),
    "rows lost between processes": (FINETUNE, other_rows_in_several_processes, order.order_is_a_function, 2),
    "no right to mount": (FINETUNE, no_mounts, mounts_alone, 1),
    "wrong choice": (FINETUNE, nothing, wrong_choice, 1),
}


@contextlib.contextmanager
def a_bench(recipe: Recipe, tries: int) -> Iterator[Bench]:
    """Of a recipe whose uninterrupted run nobody needs."""
    with tempfile.TemporaryDirectory(prefix="sartor-broken-") as name:
        folder = Path(name).resolve()
        yield Bench(World(recipe, folder, folder, NO_RUN_SECONDS), folder, random.Random(0), tries)


def main(name: str) -> None:
    recipe, breaks, test, tries = BROKEN[name]
    breaks()
    with a_bench(recipe, tries) as bench:
        test(bench)
        print(json.dumps({"tries": bench.tries, "failures": bench.failures, "skipped": bench.skipped}))


if __name__ == "__main__":
    main(sys.argv[1])
