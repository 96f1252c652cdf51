"""Several rewards as one: their weighted sum, with every part kept for the log."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sartor.base.errors import SartorError, UsageError
from sartor.train.rewards.accepted import AcceptedAnswers
from sartor.train.rewards.protocol import Answered, Reward

# A part is logged as reward_NAME, and reward_deviation is the deviation of the whole reward.
NAMES_IN_USE = ("deviation",)


@dataclass(frozen=True)
class Weighted:
    """A reward and what it is multiplied by in the sum: any finite number; with 0 it is only logged."""

    reward: Reward
    weight: float = 1.0


class SumOfRewards:
    """Σ weight · reward over the parts. UsageError when there is no part.

    Parts of one name are told apart as NAME, NAME_2, … in their order.
    """

    name = "reward"

    def __init__(self, weighted: Sequence[Weighted]):
        if not weighted:
            raise UsageError("there is no reward", hint="give at least one --reward")
        self._parts: dict[str, Weighted] = {}
        for each in weighted:
            self._parts[_free_name(each.reward.name, self._parts)] = each

    @property
    def weights(self) -> dict[str, float]:
        """The weight of every part by its name."""
        return {name: part.weight for name, part in self._parts.items()}

    def check(self, answers: Sequence[str], where: str) -> None:
        """DataError at `where` when a part compares with accepted answers and a row with these could not be scored.
        Called for every row before a run, so that none stops it halfway."""
        for part in self._parts.values():
            if isinstance(part.reward, AcceptedAnswers):
                part.reward.check(answers, where)

    def parts(self, answered: Sequence[Answered]) -> dict[str, list[float]]:
        """What each part says, without its weight, by its name. SartorError for a score that is not finite, naming
        the part and the row."""
        scores = {name: part.reward.score(answered) for name, part in self._parts.items()}
        for name, values in scores.items():
            _check_scores(name, values, answered)
        return scores

    def total(self, parts: Mapping[str, Sequence[float]]) -> list[float]:
        """The weighted sums of what `parts` returned."""
        weighted = ([weight * score for score in parts[name]] for name, weight in self.weights.items())
        return [math.fsum(scores) for scores in zip(*weighted, strict=True)]

    def score(self, answered: Sequence[Answered]) -> list[float]:
        return self.total(self.parts(answered))


def _free_name(name: str, taken: Mapping[str, Weighted]) -> str:
    number, free = 1, name
    while free in taken or free in NAMES_IN_USE:
        number += 1
        free = f"{name}_{number}"
    return free


def _check_scores(name: str, scores: Sequence[float], answered: Sequence[Answered]) -> None:
    assert len(scores) == len(answered), f"{name}: {len(scores)} scores of {len(answered)} answers"
    for score, each in zip(scores, answered, strict=True):
        if not math.isfinite(score):
            raise SartorError(f"the reward {name} of an answer is {score}", where=each.where)
