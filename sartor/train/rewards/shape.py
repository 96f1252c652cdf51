"""Rewards of an answer's outer shape: its length, its end, and whether it matches a pattern."""

import re
from collections.abc import Sequence

from sartor.base.errors import UsageError
from sartor.data.patterns import bad_pattern
from sartor.data.scorers import MAX_REGEX_REPLY_CHARACTERS
from sartor.train.rewards.protocol import Answered


class Length:
    """1 at `target` tokens, falling linearly to 0 at no token and at twice `target`; 0 beyond.

    `target` is a whole number of at least 1, as text; else UsageError.
    """

    name = "length"

    def __init__(self, target: str):
        if not (target.isascii() and target.isdigit() and int(target)):
            raise UsageError(f"not a number of tokens: {target}", where="length", hint="for example length:200")
        self._target = int(target)

    def score(self, answered: Sequence[Answered]) -> list[float]:
        return [max(0.0, 1 - abs(each.num_tokens - self._target) / self._target) for each in answered]


class Finished:
    """1 when the answer ended by itself, 0 when it was cut off."""

    name = "finished"

    def score(self, answered: Sequence[Answered]) -> list[float]:
        return [float(each.finished) for each in answered]


class WholeMatch:
    """1 when the whole answer, without white space around it, matches `pattern`, else 0.

    An answer of more than `MAX_REGEX_REPLY_CHARACTERS` never matches: what a pattern costs may grow with a power of
    the text's length. UsageError for what is no pattern, and for one that could run for ever.
    """

    name = "regex"

    def __init__(self, pattern: str):
        problem = bad_pattern(pattern)
        if problem:
            raise UsageError(f"{problem[0]}: {pattern!r}", where="regex", hint=problem[1])
        self._pattern = re.compile(pattern)

    def score(self, answered: Sequence[Answered]) -> list[float]:
        return [self._matches(each.text.strip()) for each in answered]

    def _matches(self, text: str) -> float:
        return float(len(text) <= MAX_REGEX_REPLY_CHARACTERS and self._pattern.fullmatch(text) is not None)
