"""Which tests there are, how often each is tried, and running one of them on one recipe."""

import random
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.crash import (
    choice,
    damage,
    kills,
    knowledge,
    not_finite,
    order,
    power_loss,
    saving,
    two_processes,
    writing_fails,
)
from tests.crash.bench import Bench, World
from tests.crash.recipes import RECIPES, Recipe


@dataclass(frozen=True)
class Test:
    """`full` and `reduced` are numbers of tries; a test that enumerates takes them as a bound on what is costly. With
    few tries only the tests that find out about the recipe itself (`of_recipe`) try more than the first recipe, and
    those that are of no recipe (`once`) never do."""

    run: Callable[[Bench], None]
    full: int
    reduced: int
    of_recipe: bool = False
    once: bool = False


TESTS: dict[str, Test] = {
    "R1": Test(kills.killed_once, 50, 3, of_recipe=True),
    "R2": Test(kills.killed_often, 50, 4),
    "R3": Test(saving.killed_while_saving, 10_000, 2),
    "R4": Test(power_loss.power_lost, 100, 2),
    "R5": Test(writing_fails.full_disk, 10_000, 3),
    "R6": Test(writing_fails.failing_disk, 60, 6),
    "R7": Test(damage.damaged, 500, 50),
    "R8": Test(order.order_is_a_function, 60, 10, of_recipe=True),
    "R9": Test(two_processes.one_writes, 10, 3),
    "R10": Test(not_finite.stopped_before_the_step, 20, 5, of_recipe=True),
    "R11": Test(knowledge.killed_at_every_step, 10_000, 12, once=True),
    "R12": Test(knowledge.random_operations, 1000, 100, once=True),
    "choice": Test(choice.killed_anywhere, 20, 3, once=True),
}


@dataclass(frozen=True)
class Row:
    """One line of the campaign's table."""

    id: str
    recipe: str
    tries: int
    failures: list[str]
    seconds: float
    skipped: list[str]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Campaign:
    """Runs tests in `folder`; the worlds of the recipes are made once, when first needed."""

    def __init__(self, folder: Path, seed: int, reduced: bool):
        self.folder, self.seed, self.reduced = folder, seed, reduced
        self._worlds: dict[str, World] = {}

    def run(self, id: str, tries: int | None = None) -> Iterator[Row]:
        """One row a recipe."""
        test = TESTS[id]
        for recipe in RECIPES if test.of_recipe or not (test.once or self.reduced) else RECIPES[:1]:
            yield self._run_one(id, recipe, tries)

    def _run_one(self, id: str, recipe: Recipe, tries: int | None) -> Row:
        test = TESTS[id]
        number = tries or (test.reduced if self.reduced else test.full)
        folder = self.folder / f"{id}-{recipe.name}"
        folder.mkdir(exist_ok=True)
        bench = Bench(self._world(recipe), folder, random.Random(f"{self.seed} {id} {recipe.name}"), number)
        started = time.monotonic()
        try:
            test.run(bench)
        except Exception as error:
            bench.failures.append("".join(traceback.format_exception(error)))
        return Row(id, recipe.name, bench.tries, bench.failures, time.monotonic() - started, bench.skipped)

    def _world(self, recipe: Recipe) -> World:
        if recipe.name not in self._worlds:
            self._worlds[recipe.name] = World.make(recipe, self.folder)
        return self._worlds[recipe.name]
