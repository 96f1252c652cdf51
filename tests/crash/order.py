"""R8: the rows of a step are a function of the seed and the step, whoever asks, when, and after what."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import sartor
from tests.crash.bench import Bench
from tests.crash.recipes import RECIPES
from tests.crash.sources import Sizes, Steps

EPOCHS = 3
PROCESSES = (2, 3)
ELSEWHERE = """
import sys
from tests.crash.order import digests_as_json
print(digests_as_json(*sys.argv[1:]))
"""


def order_is_a_function(bench: Bench) -> None:
    """R8: the recipe's own source straight through; resumed at any step by a new one; in any order; by several
    processes; and, once, by an interpreter of its own with another hash seed. Every epoch has every row once. (R1 to R5
    compare the rows of whole commands.)"""
    for number in range(bench.num_tries):
        sizes = Sizes.drawn(bench.draw, bench.world.recipe.most_things)
        with bench.one_try(f"{sizes}"):
            straight = _checked(bench, sizes)
            if number == 0:
                theirs = _elsewhere(bench.world.recipe.name, sizes, list(straight))
                bench.check(theirs == straight, "another stream elsewhere")


def _checked(bench: Bench, sizes: Sizes) -> dict[int, str]:
    """The hash of every step, asked for straight through, which is what all others have to be."""
    make = bench.world.recipe.make_steps
    first = make(sizes)
    steps = list(range(EPOCHS * first.per_epoch + 1))
    straight = first.digests(steps)
    _check_epoch(bench, make(sizes))

    start = bench.draw.choice(steps[1:])
    stopped, resumed = make(sizes), make(sizes)
    stopped.digests(steps[:start])
    resumed.go_on_from(stopped)
    same = resumed.digests(steps[start:]) == {step: straight[step] for step in steps[start:]}
    bench.check(same, f"another stream when resumed at {start}")

    groups = [steps[begin : begin + first.at_once] for begin in range(0, len(steps), first.at_once)]
    shuffled = [step for group in bench.draw.sample(groups, len(groups)) for step in group]
    bench.check(make(sizes).digests(shuffled) == straight, "another stream in another order")

    other = make(dataclasses.replace(sizes, seed=sizes.seed + 1)).digests(steps)
    bench.check(other != straight or not first.seed_shows, "the seed does not matter")
    for processes in PROCESSES if first.divisible else ():
        several = make(dataclasses.replace(sizes, processes=processes))
        moved = [step for step in steps if sorted(several.places_of(step)) != sorted(first.places_of(step))]
        bench.check(not moved, f"{processes} processes take other rows at the steps {moved}")
    return straight


def _check_epoch(bench: Bench, made: Steps) -> None:
    expected = sorted([*made.places] * made.times)
    found = [place for step in range(made.per_epoch) for place in made.places_of(step)]
    bench.check(sorted(found[: len(expected)]) == expected, "an epoch is not every row once")


def digests_as_json(recipe: str, sizes: str, steps: str) -> str:
    """What the interpreter of its own prints."""
    (make,) = (each.make_steps for each in RECIPES if each.name == recipe)
    return json.dumps(list(make(Sizes(**json.loads(sizes))).digests(json.loads(steps)).items()))


def _elsewhere(recipe: str, sizes: Sizes, steps: Sequence[int]) -> dict[int, str]:
    arguments = [recipe, json.dumps(dataclasses.asdict(sizes)), json.dumps(steps)]
    environment = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": str(Path(sartor.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))
