"""How long matching a regular expression may take because repeats that follow one another can share the same text.

In `.*\\d+.*` a run of digits can be parted between the three in many ways, and a backtracking matcher tries them all
before it says no: the steps grow with a power of the text's length, and the power with each such repeat. (Weber and
Seidl 1991, On the degree of ambiguity of finite automata, tell how; what is here counts too many rather than too few.)
"""

import math
import re
import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from re import _parser as pattern_parser  # type: ignore[attr-defined]
from typing import Any

TEXT_CHARACTERS = 4_000  # no longer text is matched
UNSHARED = ("ATOMIC_GROUP", "POSSESSIVE_REPEAT")
ASSERTIONS = ("ASSERT", "ASSERT_NOT")
SAMPLES = string.printable + "é中\xa0🙂"
MOST_REPEATS = 200

Characters = frozenset[str]
CATEGORIES: dict[str, Callable[[str], bool]] = {
    "DIGIT": str.isdecimal,
    "SPACE": str.isspace,
    "WORD": lambda c: c.isalnum() or c == "_",
}


@dataclass(frozen=True)
class Part:
    """A stretch of a pattern. `needs` are the characters of everything that one round of it must match, `width` is how
    many it takes at least, `ways` between how many numbers of rounds it can choose. `optional` names the optional
    groups that hold it: without them it is not there."""

    characters: Characters
    needs: tuple[Characters, ...]
    width: int
    ways: int = 1
    optional: frozenset[int] = frozenset()


def most_steps(pattern: str) -> float:
    """About how many steps matching a text of TEXT_CHARACTERS may take in the worst case; infinite for a pattern of
    more repeats than can be looked at."""
    parsed = pattern_parser.parse(pattern)
    reader = _Reader(pattern, bool(parsed.state.flags & re.DOTALL))
    reader.set_apart(parsed)
    return max(_steps(reader.parts(each)) for each in reader.apart)  # reading one may set more apart


def _steps(sequence: Sequence[Part]) -> float:
    """The worst chain of repeats, each of which can take text from the one before it."""
    if sum(part.ways > 1 for part in sequence) > MOST_REPEATS:
        return math.inf
    worst: dict[int, float] = {}
    for place, part in enumerate(sequence):
        if part.ways > 1:
            shares = [steps * _shares(sequence, before, place) for before, steps in worst.items()]
            worst[place] = max([float(part.ways), *shares])
    return max(worst.values(), default=1.0)


def _shares(sequence: Sequence[Part], first: int, second: int) -> float:
    """In how many ways a text can be parted between the two repeats; 1 when no text fits both and what lies between."""
    one, other = sequence[first], sequence[second]
    both = one.characters & other.characters
    there = one.optional | other.optional
    between = [part for part in sequence[first + 1 : second] if part.width and part.optional <= there]
    if not both or not all(need & both for part in (one, *between, other) for need in part.needs):
        return 1.0
    return max(1.0, other.ways / max(1, sum(part.width for part in between)))


class _Reader:
    """Turns parsed patterns into parts. What is matched for itself, without going back into it, lands in `apart`."""

    def __init__(self, pattern: str, dot_takes_newlines: bool):
        self.apart: list[Any] = []
        self._alphabet = frozenset(SAMPLES) | frozenset(pattern)
        takes_newlines = dot_takes_newlines or re.search(r"\(\?[aiLmux]*s", pattern) is not None
        self._dot = self._alphabet if takes_newlines else self._alphabet - {"\n"}
        self._names = count()

    def set_apart(self, inner: Any) -> None:
        if inner not in self.apart:
            self.apart.append(inner)

    def parts(self, items: Iterable[tuple[Any, Any]]) -> list[Part]:
        return [part for operation, argument in items for part in self._parts(str(operation), argument)]

    def _parts(self, kind: str, argument: Any) -> Iterator[Part]:
        if kind == "SUBPATTERN":
            yield from self.parts(argument[-1])
        elif kind in ("MAX_REPEAT", "MIN_REPEAT"):
            yield from self._repeat(*argument)
        elif kind == "BRANCH":
            yield from self._branch(argument[1])
        elif kind == "GROUPREF_EXISTS":
            yield from self._branch([each or [] for each in argument[1:]])
        elif kind in UNSHARED:
            low, _, inner = argument if isinstance(argument, tuple) else (1, 1, argument)
            self.set_apart(inner)
            yield self._as_one(self.parts(inner), low)
        elif kind in ASSERTIONS:
            self.set_apart(argument[1])
        elif kind == "GROUPREF":
            yield Part(self._alphabet, (), 0)
        elif kind in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            characters = self._dot if kind == "ANY" else self._set(argument if kind == "IN" else [(kind, argument)])
            yield Part(characters, (characters,), 1)

    def _repeat(self, low: int, high: int, inner: Any) -> Iterator[Part]:
        low, high = min(int(low), TEXT_CHARACTERS), min(int(high), TEXT_CHARACTERS)
        inside = self.parts(inner)
        if all(part.ways == 1 for part in inside):
            yield replace(self._as_one(inside, low), ways=high - low + 1)
            return
        group = frozenset({next(self._names)})
        for number in range(min(high, MOST_REPEATS)):  # each round has repeats of its own
            for part in inside:
                yield part if number < low else replace(part, optional=part.optional | group)

    def _branch(self, alternatives: Sequence[Any]) -> Iterator[Part]:
        """The alternative that can choose most; where none chooses, all of them as one."""
        found = [self.parts(each) for each in alternatives]
        most = max(found, key=lambda parts: math.prod(part.ways for part in parts))
        if any(part.ways > 1 for part in most):
            group = frozenset({next(self._names)})
            yield from (replace(part, optional=part.optional | group) for part in most)
            return
        ones = [self._as_one(parts, 1) for parts in found]
        characters = frozenset[str]().union(*(one.characters for one in ones))
        yield Part(characters, (characters,), min(one.width for one in ones))

    def _as_one(self, parts: Sequence[Part], low: int) -> Part:
        characters = frozenset[str]().union(*(part.characters for part in parts))
        needed = [part for part in parts if part.width and not part.optional]
        return Part(characters, tuple(n for part in needed for n in part.needs), low * sum(p.width for p in needed))

    def _set(self, members: Sequence[tuple[Any, Any]]) -> Characters:
        """Of what is listed both cases, of what is excluded only the one: too many characters do no harm here."""
        without = str(members[0][0]) == "NEGATE"
        return frozenset(
            each
            for each in self._alphabet
            if any(_fits(each, str(kind), value, both_cases=not without) for kind, value in members[without:])
            != without
        )


def _fits(character: str, kind: str, value: Any, both_cases: bool) -> bool:
    forms = {character, character.lower(), character.upper()} if both_cases else {character}
    if kind == "LITERAL":
        return chr(value) in forms
    if kind == "NOT_LITERAL":
        return chr(value) != character
    if kind == "RANGE":
        return any(len(form) == 1 and value[0] <= ord(form) <= value[1] for form in forms)
    name = str(value).removeprefix("CATEGORY_")
    holds = CATEGORIES.get(name.removeprefix("NOT_"), lambda c: True)(character)
    return holds != name.startswith("NOT_")
