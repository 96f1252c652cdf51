"""Rewards as they are typed: `[WEIGHT*]KIND[:ARGUMENT]`, such as `numeric`, `0.2*finished` or `regex:[A-D]`."""

import difflib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sartor.base.errors import UsageError
from sartor.data.scorers import SCORERS
from sartor.train.rewards.accepted import AcceptedAnswers
from sartor.train.rewards.function import UserFunction
from sartor.train.rewards.protocol import Reward
from sartor.train.rewards.schema import ValidJson
from sartor.train.rewards.shape import Finished, Length, WholeMatch
from sartor.train.rewards.weighted import SumOfRewards, Weighted


@dataclass(frozen=True)
class Kind:
    """One kind of reward that takes an argument: what that is called, and what makes the reward out of it."""

    argument: str
    make: Callable[[str], Reward]


def _user_function(argument: str) -> UserFunction:
    file, _, function = argument.rpartition(":")
    if not file or not function:
        raise UsageError(f"not a file and a function: {argument}", where="python", hint="python:FILE.py:FUNCTION")
    return UserFunction(file, function)


WITH_ARGUMENT = {
    "length": Kind("TOKENS", Length),
    "regex": Kind("PATTERN", WholeMatch),
    "schema": Kind("FILE.json", ValidJson),
    "python": Kind("FILE.py:FUNCTION", _user_function),
}
WITHOUT_ARGUMENT: dict[str, Callable[[], Reward]] = {
    "finished": Finished,
    **{name: partial(AcceptedAnswers, name) for name in SCORERS},
}
NAMES = tuple(dict.fromkeys([*WITHOUT_ARGUMENT, *WITH_ARGUMENT]))


def rewards(specs: Sequence[str], others: Sequence[Weighted] = ()) -> SumOfRewards:
    """The sum of what `specs` say and of `others`, the caller's own rewards such as a trained model, first.

    UsageError for no reward at all, one that is given twice, and whatever is wrong with one of them.
    """
    weights_and_texts = [split_weight(spec) for spec in specs]
    texts = [text for _, text in weights_and_texts]
    again = next((text for place, text in enumerate(texts) if text in texts[:place]), None)
    if again is not None:
        raise UsageError(f"the reward {again} is given twice", hint=f"give it once with a weight: 2*{again}")
    return SumOfRewards([*others, *(Weighted(_reward(text), weight) for weight, text in weights_and_texts)])


def is_run(spec: str) -> bool:
    """Whether what `spec` names, after its weight, is an existing folder: a trained reward model's run.

    A kind of reward comes before a folder of that name, which can be written `./numeric`. UsageError for a weight that
    is none.
    """
    rest = split_weight(spec)[1]
    return rest.partition(":")[0] not in NAMES and os.path.isdir(rest)


def split_weight(spec: str) -> tuple[float, str]:
    """`0.5*KIND:ARGUMENT` -> (0.5, "KIND:ARGUMENT"); 1 where no weight is given.

    Only a `*` before the first `:` ends a weight, so that a pattern may hold any. UsageError for a weight that is not a
    finite number.
    """
    weight, star, rest = spec.partition("*")
    if not star or ":" in weight:
        return 1.0, spec.lstrip()
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"not a weight: {weight!r}", where=f"reward {spec}", hint="for example 0.5*numeric")
    return number, rest.lstrip()


def _reward(text: str) -> Reward:
    kind, colon, argument = text.partition(":")
    if kind not in NAMES:
        nearest = difflib.get_close_matches(kind, NAMES, n=1)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        known = ", ".join(NAMES)
        raise UsageError(f"unknown reward, and no such folder: {text}", hint=f"{hint}rewards: {known}, or a run folder")
    if argument and kind in WITH_ARGUMENT:
        return WITH_ARGUMENT[kind].make(argument)
    if colon or kind not in WITHOUT_ARGUMENT:
        hint = f"write {kind}:{WITH_ARGUMENT[kind].argument}" if kind in WITH_ARGUMENT else f"write {kind} alone"
        raise UsageError(f"wrong argument of the reward {kind}: {argument or 'none'}", hint=hint)
    return WITHOUT_ARGUMENT[kind]()
