"""Whether the verdict's error rates, power and intervals are what they are said to be.

The recorded answers of a finished `sartor choose` are taken as a population: rows are drawn from it with replacement
(whole groups, where its task has groups), and the truth is known. Three questions:

1. **False decisions.** Paths are made truly equal and the whole decision is taken: the share of "decided" must be at
   most 5 %. A path cannot be answered anew here, so equal paths are made by dealing out the recorded scores of a row at
   random: of all paths (`all alike`), of the two best, the others staying as they are (`two best alike`: the hardest
   case, since Holm's correction has nothing left to correct), or of a path and its nearest rival alone (`NAME and RIVAL
   exchanged`). So these are two paths whose answers are exchanged at random; no path is asked twice.
2. **Power.** At the number of rows that the planning names for 80 %, how often is it really settled? The planning uses
   normal approximations, this the tests themselves. `planted` makes the difference of the two best paths as small as
   said, by dealing out a share of the rows.
3. **Coverage** of the 95 % intervals at 30, 100 and 400 rows.

Run: python -m benchmarks.verdict_calibration [RUN ...] [--repetitions 1000] [--part alike|power|coverage]
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sartor.base.configuration import build, load_yaml
from sartor.base.errors import SartorError
from sartor.choosing.choose import ChooseConfig
from sartor.choosing.measure import read_answers, scores_of
from sartor.choosing.verdict.race import Measured, Race
from sartor.choosing.verdict.row_planning import rows_that_settle
from sartor.choosing.verdict.rule import race_of
from sartor.data.task import Task
from sartor.evaluation.statistics import difference_interval, mean_interval

SIZES = (30, 100, 400)


@dataclass(frozen=True)
class Population:
    """`scores` [rows, paths] in [0, 1]; `groups` are numbers, None where rows stand alone."""

    name: str
    paths: tuple[str, ...]
    scores: np.ndarray
    groups: np.ndarray | None = None

    def draw(self, generator: np.random.Generator, num_rows: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores and groups of about so many rows."""
        if self.groups is None:
            return self.scores[generator.integers(0, len(self.scores), num_rows)], None
        members = [np.flatnonzero(self.groups == group) for group in range(self.groups.max() + 1)]
        drawn, total = [], 0
        while total < num_rows:
            drawn.append(members[generator.integers(len(members))])
            total += len(drawn[-1])
        numbers = np.repeat(np.arange(len(drawn)), [len(rows) for rows in drawn])
        return self.scores[np.concatenate(drawn)], numbers

    def only(self, columns: Sequence[int]) -> "Population":
        names = tuple(self.paths[column] for column in columns)
        return Population(self.name, names, self.scores[:, list(columns)], self.groups)

    @property
    def best_first(self) -> list[int]:
        return [int(column) for column in np.argsort(-self.scores.mean(0))]


def recorded(folder: Path) -> Population:
    """The scored answers of a run; rows that some path has no score for are left out, and told."""
    files = sorted((folder / "answers").glob("*.jsonl"))
    answers = {file.stem: read_answers(file) for file in files if "." not in file.stem}
    scores = np.stack([scores_of(given) for given in answers.values()], 1)
    whole = ~np.isnan(scores).any(1)
    if not whole.all():
        print(f"{folder.name}: {int((~whole).sum())} rows without a score are left out", file=sys.stderr)
    groups = _groups(folder, [answer["id"] for answer in next(iter(answers.values()))])
    numbers = None if groups is None else np.unique(np.array(groups)[whole], return_inverse=True)[1]
    if numbers is not None and numbers.max() + 1 == whole.sum():
        numbers = None
    return Population(folder.name, tuple(answers), scores[whole], numbers)


def _groups(folder: Path, ids: Sequence[str]) -> list[str] | None:
    """The groups of the test rows, where the task is still there with these rows."""
    try:
        config = build(ChooseConfig, load_yaml(folder / "config.yaml"))
        rows = {row.id: row.group for row in Task.load(config.task).test}
    except (SartorError, OSError):
        return None
    return [rows[row_id] for row_id in ids] if set(ids) <= rows.keys() else None


def simulated() -> list[Population]:
    """Right or wrong, fractions, and groups; paths that share what is hard about a row."""
    generator = np.random.default_rng(0)
    hard = generator.uniform(0.05, 0.95, 2_000)[:, None]
    gains = np.array([0.0, 0.0, -0.05, -0.1])
    chance = np.clip(hard + gains, 0.02, 0.98)
    binary = (generator.random(chance.shape) < chance).astype(float)
    fractions = np.where(generator.random(chance.shape) < 0.4, binary, generator.beta(4 * chance, 4 * (1 - chance)))
    by_group = np.clip(hard[:400].repeat(5, 0) + gains, 0.02, 0.98)
    grouped = (generator.random(by_group.shape) < by_group).astype(float)
    many = np.clip(hard + np.array([0.0, 0.0, 0.0, -0.05, -0.05, -0.1, -0.1, -0.3, -0.4]), 0.02, 0.98)
    names = tuple("abcd")
    return [
        Population("simulated 0/1", names, binary),
        Population("simulated fractions", names, fractions),
        Population("simulated groups", names, grouped, np.arange(400).repeat(5)),
        Population("simulated 0/1, 9 paths", tuple("abcdefghi"), (generator.random(many.shape) < many).astype(float)),
    ]


def race_between(names: Sequence[str], scores: np.ndarray, groups: np.ndarray | None, margin: float = 0.02) -> Race:
    """As `sartor choose` has it, the later paths the dearer ones."""
    paths = [Measured(name, scores[:, i], 1.0 + i, 1.0, True) for i, name in enumerate(names)]
    return race_of(paths, None if groups is None else list(groups), margin)


def dealt(
    generator: np.random.Generator, scores: np.ndarray, groups: np.ndarray | None, columns: Sequence[int], share: float
) -> np.ndarray:
    """The scores with those of `columns` dealt out at random, in a share of the rows; alike within a group."""
    numbers = np.arange(len(scores)) if groups is None else groups
    keys = generator.random((numbers.max() + 1, len(columns)))
    places = np.where(generator.random((len(keys), 1)) < share, np.argsort(keys, 1), np.arange(len(columns)))
    mixed = scores.copy()
    mixed[:, columns] = np.take_along_axis(scores[:, columns], places[numbers], 1)
    return mixed


def false_decisions(population: Population, alike: Sequence[int], rows: int, repetitions: int) -> float:
    """How often one of the paths that are made alike is "decided"."""
    generator, wrong = np.random.default_rng(1), 0
    for _ in range(repetitions):
        drawn, groups = population.draw(generator, rows)
        race = race_between(population.paths, dealt(generator, drawn, groups, alike, 1.0), groups)
        choice, word = race.settle(race.order)
        wrong += word == "decided" and choice in {population.paths[column] for column in alike}
    return wrong / repetitions


def cases_alike(population: Population) -> list[tuple[str, Population, list[int]]]:
    """Name, paths that take part, and which of them are alike."""
    first, second = population.best_first[:2]
    cases = [("all alike", population, list(range(len(population.paths))))]
    if len(population.paths) > 2:
        cases.append(("two best alike", population, [first, second]))
        means = population.scores.mean(0)
        for column, name in enumerate(population.paths):
            others = [other for other in range(len(means)) if other != column]
            nearest = min(others, key=lambda other: abs(means[other] - means[column]))
            both = f"{name} and {population.paths[nearest]} exchanged"
            cases.append((both, population.only([column, nearest]), [0, 1]))
    return cases


def planted(population: Population, share: float) -> Population:
    """The population ten times over, with the two best paths dealt out in a share of the rows."""
    first, second = population.best_first[:2]
    copies = np.tile(population.scores, (10, 1))
    swapped = np.arange(len(copies)) // len(population.scores) < round(10 * share / 2)
    copies[np.ix_(swapped, [first, second])] = copies[np.ix_(swapped, [second, first])]
    groups = population.groups
    if groups is not None:
        groups = np.concatenate([groups + copy * (groups.max() + 1) for copy in range(10)])
    return Population(population.name, population.paths, copies, groups)


def measured_power(population: Population, repetitions: int) -> tuple[str, int | None, float]:
    """The choice that the rows speak for, the rows planned for it, and how often those settle it."""
    race = race_between(population.paths, population.scores, population.groups)
    names = race.order
    means = dict(zip(population.paths, population.scores.mean(0), strict=True))
    choice = next(name for name in names if means[name] > max(means.values()) - race.margin)
    rows = rows_that_settle(race, choice, names, 30)
    if rows is None or rows > 20_000:
        return choice, rows, float("nan")
    generator, found = np.random.default_rng(2), 0
    for _ in range(repetitions):
        drawn = race_between(population.paths, *population.draw(generator, rows))
        found += drawn.settle(drawn.order) in ((choice, "decided"), (choice, "tie"))
    return choice, rows, found / repetitions


def coverage(draw: Callable[[], tuple[float, float]], truth: float, repetitions: int) -> float:
    limits = [draw() for _ in range(repetitions)]
    return float(np.mean([low - 1e-12 <= truth <= high + 1e-12 for low, high in limits]))


def tell_false_decisions(populations: Sequence[Population], repetitions: int) -> None:
    print(f"\n| false decisions of {repetitions:,} | paths | rows | answers exchanged at random | decided, % |")
    print("|---|---|---|---|---|")
    for population in populations:
        for name, part, alike in cases_alike(population):
            rows = min(len(part.scores), 300)
            share = false_decisions(part, alike, rows, repetitions)
            print(f"| {population.name} | {len(part.paths)} | {rows} | {name} | {100 * share:.1f} |", flush=True)


def tell_power(populations: Sequence[Population], repetitions: int) -> None:
    print(f"\n| power in {repetitions:,} | paths | two best differ by | choice | rows planned for 80 % | settled, % |")
    print("|---|---|---|---|---|---|")
    for population in populations:
        for part in (population.only(population.best_first[:2]), population):
            if part is population and len(population.paths) == 2:
                continue
            for share in (0.0, 0.4, 0.8):
                mixed = planted(part, share)
                first, second = mixed.best_first[:2]
                gap = mixed.scores[:, first].mean() - mixed.scores[:, second].mean()
                choice, rows, settled = measured_power(mixed, repetitions)
                told = "more than 1,000,000" if rows is None else f"{rows:,}"
                print(f"| {part.name} | {len(part.paths)} | {100 * gap:.1f} points | {choice} | {told} | "
                      f"{'not run' if np.isnan(settled) else f'{100 * settled:.1f}'} |", flush=True)  # fmt: skip


def tell_coverage(populations: Sequence[Population], repetitions: int) -> None:
    sizes = " | ".join(f"{size} rows" for size in SIZES)
    print(f"\n| coverage in {repetitions:,}, % | of | truth | {sizes} |\n|---|---|---|{'---|' * len(SIZES)}")
    for population in populations:
        generator = np.random.default_rng(3)
        scores = population.scores
        for i, name in enumerate(population.paths):
            found = [_mean_coverage(generator, scores[:, i], size, repetitions) for size in SIZES]
            _line(population.name, name, scores[:, i].mean(), found)
        for i in range(len(population.paths)):
            for j in range(i):
                found = [_difference_coverage(generator, scores[:, [i, j]], size, repetitions) for size in SIZES]
                truth = (scores[:, i] - scores[:, j]).mean()
                _line(population.name, f"{population.paths[i]} - {population.paths[j]}", truth, found)


def _line(population: str, what: str, truth: float, found: Sequence[float]) -> None:
    print(
        f"| {population} | {what} | {truth:+.3f} | {' | '.join(f'{100 * share:.1f}' for share in found)} |", flush=True
    )


def _mean_coverage(generator: np.random.Generator, scores: np.ndarray, size: int, repetitions: int) -> float:
    def limits() -> tuple[float, float]:
        found = mean_interval(scores[generator.integers(0, len(scores), size)])
        return found.low, found.high

    return coverage(limits, float(scores.mean()), repetitions)


def _difference_coverage(generator: np.random.Generator, scores: np.ndarray, size: int, repetitions: int) -> float:
    def limits() -> tuple[float, float]:
        drawn = scores[generator.integers(0, len(scores), size)]
        return difference_interval(drawn[:, 0], drawn[:, 1])

    return coverage(limits, float((scores[:, 0] - scores[:, 1]).mean()), repetitions)


PARTS = {"alike": tell_false_decisions, "power": tell_power, "coverage": tell_coverage}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", nargs="*", type=Path, help="folders of finished runs of `sartor choose`")
    parser.add_argument("--repetitions", type=int, default=1_000)
    parser.add_argument("--part", choices=sorted(PARTS), help="only this one")
    arguments = parser.parse_args()
    populations = [*map(recorded, arguments.runs), *simulated()]
    print(json.dumps({each.name: [len(each.scores), len(each.paths)] for each in populations}), file=sys.stderr)
    for name, tell in PARTS.items():
        if arguments.part in (None, name):
            tell(populations, arguments.repetitions)


if __name__ == "__main__":
    main()
