"""What each recipe takes its steps from, of any size: the recipe's own class over made-up things to learn from."""

import functools
import hashlib
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sartor.data.batches import BatchSource
from sartor.data.chat import Rendered
from sartor.data.packing import Batch
from sartor.data.pairs import Pair, PairSource
from sartor.data.token_shards.reader import TokenSplit
from sartor.data.token_shards.stream import TokenStream, Weighted
from sartor.data.windows import WindowSource
from sartor.train.actors import Actors
from sartor.train.estimates import ValueEstimate
from sartor.train.loop import StatefulSource
from sartor.train.rewards.specs import rewards
from sartor.train.rollouts import RolloutSource
from tests.data.token_shards import made
from tests.train import rollout_world

WINDOW_TOKENS = 8
ANSWERS, PASSES = 2, 2
ROLES = 2  # the policy and the value function both learn from every answer
FEWEST_TO_ORDER = 10  # so many things hardly ever come in the same order twice


@dataclass(frozen=True)
class Sizes:
    """`things` are rows, pairs, prompts or, of running text, documents; a step takes `per_step` of them, or of the
    text's windows. `processes` divide a step."""

    things: int
    per_step: int
    micro_batch_tokens: int
    seed: int
    processes: int = 1

    @staticmethod
    def drawn(draw: random.Random, most_things: int) -> "Sizes":
        per_step = draw.randrange(1, 2 + most_things // 3)
        return Sizes(draw.randrange(1, most_things + 1), per_step, draw.choice([1, 64, 2048]), draw.randrange(2**31))


@dataclass(frozen=True)
class Steps:
    """A recipe's source, and what is known of its steps.

    The first `per_epoch` steps have each of `places` so many `times` before they have anything else. So many steps as
    `at_once`, from a multiple of it on, are asked for one after the other; these groups are in any order.
    `seed_shows`: another seed makes other steps. `divisible`: several processes may divide a step.
    """

    source: Any
    places: Sequence[str]
    per_epoch: int
    seed_shows: bool
    times: int = 1
    at_once: int = 1
    divisible: bool = False

    def go_on_from(self, other: "Steps") -> None:
        """As a run does that was saved and is resumed."""
        if isinstance(self.source, StatefulSource):
            self.source.load_state(other.source.state())

    def places_of(self, step: int) -> list[str]:
        return [place for batch in self.source.step(step) for place in batch.where]

    def digests(self, steps: Sequence[int]) -> dict[int, str]:
        """A hash of the places and tokens of each of these steps, which are asked for in this order."""
        return {step: self._digest(step) for step in steps}

    def _digest(self, step: int) -> str:
        packed = [batch if isinstance(batch, Batch) else batch.rows for batch in self.source.step(step)]
        taken = [[list(each.where), each.ids.tolist(), each.targets.tolist()] for each in packed]
        return hashlib.sha256(json.dumps(taken).encode()).hexdigest()


MakeSteps = Callable[[Sizes], Steps]


def of_rows(sizes: Sizes) -> Steps:
    rows = _rows(sizes.things)
    source = BatchSource(rows, sizes.per_step, sizes.micro_batch_tokens, sizes.seed, processes=sizes.processes)
    return _of_things(source, sizes)


def of_pairs(sizes: Sizes) -> Steps:
    pairs = [Pair(row, Rendered([5, *row.ids], [False, *row.trained], row.where)) for row in _rows(sizes.things)]
    return _of_things(PairSource(pairs, sizes.per_step, sizes.micro_batch_tokens, sizes.seed, sizes.processes), sizes)


def _rows(number: int) -> list[Rendered]:
    lengths = [2 + place * 7 % 40 for place in range(number)]
    return [
        Rendered([place % 97 + 1] * (1 + length), [False] + [True] * length, f"row {place}")
        for place, length in enumerate(lengths)
    ]


def _of_things(source: BatchSource | PairSource, sizes: Sizes) -> Steps:
    places = [row.where for row in source.rows]
    seed_shows = sizes.per_step < sizes.things >= FEWEST_TO_ORDER  # a step of all is cut by length alone
    return Steps(source, places, source.steps_per_epoch, seed_shows, divisible=True)


def of_windows(sizes: Sizes) -> Steps:
    split = _split(sizes.things)
    stream = TokenStream([Weighted(split)], min(WINDOW_TOKENS, split.num_tokens), sizes.seed)
    number = stream.windows_per_epoch
    source = WindowSource(stream, sizes.per_step, sizes.micro_batch_tokens)
    places = [f"train window {index}" for index in range(number)]
    return Steps(source, places, -(-number // sizes.per_step), number >= FEWEST_TO_ORDER)


@functools.cache
def _split(documents: int) -> TokenSplit:
    """Of shards whose files are gone; what is mapped into memory stays."""
    with tempfile.TemporaryDirectory() as folder:
        return made.shards(Path(folder) / "shards", made.random_documents(documents)).split("train")


def of_answers(sizes: Sizes) -> Steps:
    """Answers of a policy with a value function, learnt from in two parts where every batch has two prompts."""
    smallest = sizes.things % sizes.per_step or min(sizes.things, sizes.per_step)
    settings = replace(
        rollout_world.SIZES, prompts=sizes.per_step, answers=ANSWERS, passes=PASSES, minibatches=min(2, smallest),
        micro_batch_tokens=sizes.micro_batch_tokens, max_new_tokens=4, seed=sizes.seed,
    )  # fmt: skip
    prompts, estimate = rollout_world.asked(sizes.things), ValueEstimate(rollout_world.PENALTY)
    source = RolloutSource(_policy(), prompts, rewards(["length:5"]), estimate, settings)
    places = [each.prompt.where for each in source.prompts]
    times = ANSWERS * PASSES * ROLES
    return Steps(source, places, source.steps_per_epoch, True, times, at_once=source.settings.steps_per_batch)


@functools.cache
def _policy() -> Actors:
    return rollout_world.actors(rollout_world.model())
