"""Which steps of a run to try before it begins: the ones that need the most memory, and a few that stand for all."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Protocol

from sartor.data.batches import Sized
from sartor.data.packing import MicroBatch
from sartor.train.loop import Source

MOST_STEPS_LOOKED_AT = 1_000  # of a longer run so many are looked at, evenly spread


@dataclass(frozen=True)
class StepSize:
    """What one optimizer step computes. `tokens` are those of its micro-batches as packed, `row_tokens` those of its
    rows; `largest_*` are of the single micro-batch that has the most of them."""

    step: int
    tokens: int
    row_tokens: int
    trained: int
    largest_tokens: int
    largest_trained: int
    largest_rows: int

    @staticmethod
    def of(step: int, batches: Sequence[MicroBatch]) -> "StepSize":
        largest = max(batches, key=lambda batch: batch.num_tokens)
        return StepSize(
            step,
            sum(batch.num_tokens for batch in batches),
            sum(batch.num_row_tokens for batch in batches),
            sum(batch.num_trained for batch in batches),
            largest.num_tokens,
            max(batch.num_trained for batch in batches),
            len(largest.where),
        )


class EpochSource(Source, Protocol):
    """A source that visits each of its `rows` once an epoch."""

    @property
    def rows(self) -> Sequence[Sized]: ...
    @property
    def steps_per_epoch(self) -> int: ...
    def rows_of(self, step: int) -> Sequence[Sized]: ...


def step_sizes(source: EpochSource, num_steps: int, most: int = MOST_STEPS_LOOKED_AT) -> list[StepSize]:
    """The sizes of a run's steps; of a run of more than `most` steps so many, evenly spread, and always the step of
    the first epoch with the longest row."""
    looked_at = dict.fromkeys(index * num_steps // most for index in range(most)) if num_steps > most else None
    steps = list(range(num_steps) if looked_at is None else looked_at)
    if looked_at is not None:
        longest = max(source.rows, key=lambda row: row.num_tokens)
        first_epoch = range(min(num_steps, source.steps_per_epoch))
        steps += [step for step in first_epoch if any(row is longest for row in source.rows_of(step))]
    return [StepSize.of(step, source.step(step)) for step in dict.fromkeys(steps)]


def worst_steps(sizes: Sequence[StepSize]) -> list[StepSize]:
    """The step with the largest micro-batch by tokens and, where it is another, by learnt tokens."""
    by_tokens = max(sizes, key=lambda size: (size.largest_tokens, size.largest_trained))
    by_trained = max(sizes, key=lambda size: (size.largest_trained, size.largest_tokens))
    return [by_tokens] if by_trained.largest_trained == by_tokens.largest_trained else [by_tokens, by_trained]


def typical_steps(sizes: Sequence[StepSize], count: int) -> list[StepSize]:
    """The middle steps of `count` equally large groups of the steps in order of their tokens: together they are as
    long, on average, as all are."""
    ordered = sorted(sizes, key=lambda size: size.tokens)
    places = dict.fromkeys((2 * index + 1) * len(ordered) // (2 * count) for index in range(count))
    return [ordered[place] for place in places]


@dataclass(frozen=True)
class Speed:
    """Seconds a packed token takes in a whole optimizer step: the median of the steps tried, the quickest, the
    slowest. One step that another program slowed down does not change the median."""

    seconds_per_token: float
    least: float
    most: float

    @staticmethod
    def of(tokens: Sequence[int], seconds: Sequence[float]) -> "Speed":
        rates = [spent / count for spent, count in zip(seconds, tokens, strict=True)]
        return Speed(median(rates), min(rates), max(rates))


def mean_tokens(sizes: Sequence[StepSize]) -> float:
    """Packed tokens of a step, on average."""
    return mean(size.tokens for size in sizes)


class ProbeSource:
    """The chosen steps of another source, one after the other; `marks` are the moments at which each was asked for."""

    def __init__(self, source: Source, steps: Sequence[int]):
        self.source, self.steps = source, list(steps)
        self.marks: list[float] = []

    def step(self, step: int) -> Sequence[MicroBatch]:
        self.marks.append(time.perf_counter())
        return self.source.step(self.steps[step])
