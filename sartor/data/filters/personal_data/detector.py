"""What finds one kind of personal data: a quick hint for a whole table, then an exact search in the few that match."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Span = tuple[int, int]
"""Where something stands in a text: first character, and the one after the last."""


@dataclass(frozen=True)
class Detector:
    """Finds one kind of personal data.

    `kind` is its name in lower case. `hint` is a regular expression in RE2's syntax that every text with a finding
    matches: texts that do not are never searched. `find` gives the spans in a text, in any order; spans of one detector
    do not overlap. Both are given `plain` texts. `checkable` says whether shape or checksum alone tell it, so that it
    may be replaced unasked.
    """

    kind: str
    hint: str
    find: Callable[[str], Iterable[Span]]
    checkable: bool = True

    @property
    def tag(self) -> str:
        """What stands in its place: `<EMAIL_ADDRESS>`."""
        return f"<{self.kind.upper()}>"


UNBROKEN = {"\u00a0": " ", "\u2007": " ", "\u202f": " ", "\u2011": "-"}
"""Spaces and the hyphen at which no line ends, and what stands in their place where something is searched for."""


def plain(text: str) -> str:
    """The text as it is searched: as long as before, with spaces and hyphens of ASCII in the place of `UNBROKEN`."""
    if not text.isascii():
        for character, in_ascii in UNBROKEN.items():
            text = text.replace(character, in_ascii)
    return text


def has_cue(cue: re.Pattern[str], text: str, span: Span, before: int = 40, after: int = 0) -> bool:
    """Whether `cue` is found within so many characters before or after the span."""
    start, end = span
    if cue.search(text, max(0, start - before), start):
        return True
    return bool(after and cue.search(text, end, end + after))


def is_years(digits: str) -> bool:
    """Whether these are three or four years in a row, as in the head of a table: check digits let some of them in."""
    return re.fullmatch(r"(?:(?:19|20)\d\d){3,4}", digits) is not None


def digits_of(text: str) -> str:
    """Its ASCII digits, in order."""
    return "".join(character for character in text if "0" <= character <= "9")
