"""Regular expressions that come as data: are they ones, and will matching them come to an end."""

import re
from collections.abc import Iterable, Sequence
from re import _parser as pattern_parser  # type: ignore[attr-defined]
from typing import Any

from sartor.data.pattern_cost import most_steps

MANY_REPEATS = 10
MOST_STEPS = 1e13  # by a count far too high: three repeats side by side pass, four do not
ATOMIC = ("ATOMIC_GROUP", "POSSESSIVE_REPEAT", "ASSERT", "ASSERT_NOT")
REPEATS = ("MAX_REPEAT", "MIN_REPEAT")


def _is_exponential(pattern: str) -> bool:
    """Whether matching may take time exponential in the text's length, as `(a+)+b` does. On the safe side: true of a
    repeat of variable length, and of alternatives that may start with the same character, inside a repeat of ten or
    more, unless possessive or atomic (`a++`, `(?>a|b)`)."""
    return _explosive(pattern_parser.parse(pattern), inside_repeat=False)


def _explosive(items: Iterable[tuple[Any, Any]], inside_repeat: bool) -> bool:
    for operation, argument in items:
        kind = str(operation)
        repeated = inside_repeat and kind not in ATOMIC
        if kind in REPEATS:
            low, high, _ = argument
            if repeated and low != high:
                return True
            repeated = repeated or high >= MANY_REPEATS
        if repeated and kind == "BRANCH" and not _start_differently(argument[1]):
            return True
        if any(_explosive(part, repeated) for part in _parts(argument)):
            return True
    return False


def _parts(argument: Any) -> list[Any]:
    """The patterns nested in a parsed item's argument, whatever its kind."""
    if isinstance(argument, pattern_parser.SubPattern):
        return [argument]
    if isinstance(argument, tuple | list):
        return [part for item in argument for part in _parts(item)]
    return []


def _start_differently(alternatives: Sequence[Any]) -> bool:
    """Whether each begins with a character of its own, upper and lower case being one."""
    first = [alternative[0] for alternative in alternatives if len(alternative)]
    characters = {chr(code).casefold() for kind, code in first if str(kind) == "LITERAL"}
    return len(characters) == len(alternatives)


def bad_pattern(pattern: str) -> tuple[str, str] | None:
    """Why `pattern` cannot be used, as `(what, hint)`; None when it can.

    Python's matcher backtracks and cannot be stopped, so a pattern is refused before the run where matching may take
    too long: exponential in the reply's length, or a high power of it, as `.*.*.*.*b` does. What is left takes at most
    a power of three or so of a text whose length the caller bounds.
    """
    if not pattern:
        return "the answer is empty", "write a pattern, or remove the row"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        hint = r"write \ before . ( ) [ ] * + ? that are meant as text"
        return f"this is not a regular expression ({error})", hint
    if _is_exponential(pattern):
        hint = "inside a repeat, make the inner one possessive (a++) or the alternatives atomic ((?>a|b))"
        return "matching this regular expression could take for ever", hint
    if most_steps(pattern) > MOST_STEPS:
        hint = r"let them match different characters (\D* before \d), or find each word once: (?>.*?red)(?>.*?blue).*"
        return "matching this regular expression could take hours: several of its repeats may share a text", hint
    return None
