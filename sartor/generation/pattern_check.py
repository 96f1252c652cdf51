"""Regular expressions as JSON Schema means them (ECMA 262), checked before anything compiles them.

What the compiler reads in another way than ECMA 262 does, or what would take long to compile, is refused by name.
"""

import re

from sartor.base.errors import UsageError

MAX_CHARACTERS = 2_000
MAX_WEIGHT = 5_000  # how many characters a pattern is when its counted repetitions are written out
MAX_GROUPS = 50  # inside each other
ESCAPES = frozenset("dDwWsSnrtfv")
_HEX = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})")
_PROPERTY = re.compile(r"\\[pP]\{[A-Za-z_=]{1,40}\}")
_GROUP = re.compile(r"\((?:\?:|\?<[A-Za-z_]\w*>)?(?!\?)", re.ASCII)
_COUNT = re.compile(r"\{(\d{1,6})(?:(,)(\d{1,6})?)?\}", re.ASCII)
_RANGE_OPERATORS = ("&&", "--", "~~")


def check_pattern(pattern: str, where: str) -> None:
    """UsageError for a pattern that cannot be kept to exactly, or is too large."""
    if len(pattern) > MAX_CHARACTERS:
        raise UsageError(f"the pattern has more than {MAX_CHARACTERS:,} characters", where=where)
    _Reading(pattern, where).run()


class _Reading:
    """One walk through a pattern, adding up its weight. `weights` has the sum of each open group."""

    def __init__(self, pattern: str, where: str):
        self.pattern, self.where, self.place = pattern, where, 0
        self.weights = [0]
        self.last = 0  # the weight of what a quantifier would repeat

    def run(self) -> None:
        while self.place < len(self.pattern):
            self._next(self.pattern[self.place])
        if len(self.weights) > 1:
            raise self._refused("a group is not closed")

    def _next(self, character: str) -> None:
        if character == "\\":
            self.place = self._escape(self.place)
            self._item(1)
        elif character == "[":
            self.place = self._character_class(self.place + 1)
            self._item(1)
        elif character == "(":
            self._open()
        elif character == ")":
            self._close()
        elif character == "{":
            self._repeat()
        else:
            self._check_anchor(character)
            self.place += 1
            if character not in "*+?|^$":
                self._item(1)
            elif character == "+":
                self._multiply(2)

    def _item(self, weight: int) -> None:
        self.last = weight
        self.weights[-1] += weight
        if self.weights[-1] > MAX_WEIGHT:
            raise self._refused("its repetitions are too many to be compiled")

    def _multiply(self, factor: int) -> None:
        self.weights[-1] -= self.last
        self._item(self.last * max(1, factor))

    def _open(self) -> None:
        found = _GROUP.match(self.pattern, self.place)
        if found is None:
            raise self._refused("groups that begin with (? can only be (?: or (?<name>")
        if len(self.weights) > MAX_GROUPS:
            raise self._refused(f"more than {MAX_GROUPS} groups are inside each other")
        self.place = found.end()
        self.weights.append(0)

    def _close(self) -> None:
        if len(self.weights) == 1:
            raise self._refused("a group is closed that was not opened")
        self.place += 1
        self._item(max(1, self.weights.pop()))

    def _repeat(self) -> None:
        found = _COUNT.match(self.pattern, self.place)
        if found is None:
            raise self._refused("{ begins no repetition; write \\{ for the character")
        low, comma, high = found.groups()
        if high is not None and int(high) < int(low):
            raise self._refused("a repetition ends before it begins")
        self._multiply(int(high or low) + (comma is not None and high is None))
        self.place = found.end()

    def _check_anchor(self, character: str) -> None:
        """Anchors are understood at the ends of the pattern and of its alternatives."""
        if character not in "^$":
            return
        before, after = self.pattern[self.place - 1 : self.place], self.pattern[self.place + 1 : self.place + 2]
        beside = before if character == "^" else after
        if len(self.weights) > 1 or beside not in ("", "|"):
            raise self._refused(f"{character} can only be at an end of the pattern")

    def _escape(self, place: int) -> int:
        """The place behind the escape that begins here."""
        found = _HEX.match(self.pattern, place) or _PROPERTY.match(self.pattern, place)
        if found is not None:
            return found.end()
        escaped = self.pattern[place + 1 : place + 2]
        is_plain = escaped.isascii() and escaped.isprintable() and not escaped.isalnum() and escaped not in "<> "
        if not escaped or not (is_plain or escaped in ESCAPES):
            raise self._refused(f"the escape \\{escaped} is not supported")
        return place + 2

    def _character_class(self, place: int) -> int:
        """The place behind the class whose content begins here."""
        if self.pattern[place : place + 1] == "^":
            place += 1
        first = place
        while place < len(self.pattern):
            character = self.pattern[place]
            if character == "]" and place > first:
                return place + 1
            if character in "[]" or self.pattern[place : place + 2] in _RANGE_OPERATORS:
                raise self._refused(f"write \\{character} in a character class")
            place = self._escape(place) if character == "\\" else place + 1
        raise self._refused("a character class is not closed")

    def _refused(self, what: str) -> UsageError:
        return UsageError(f"the pattern {self.pattern[:80]!r} cannot be enforced: {what}", where=self.where)
