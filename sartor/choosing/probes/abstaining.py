"""Whether a reply says that it does not know, rather than inventing something."""

import re
from collections import Counter
from collections.abc import Sequence

from sartor.choosing.probes.replacements import core_of, stands_in
from sartor.data.records import Row
from sartor.retrieval.abstention import NO_ANSWER

LEAST_ROWS = 3
UNKNOWING = re.compile(
    r"\b(?:i|we) (?:do not|don't|can not|cannot|can't) (?:know|answer|say|tell|find)\b"
    r"|\bnot (?:enough information|answerable|mentioned|stated|specified|provided|given|available|known)\b"
    r"|\b(?:does|do|did)(?: not|n't) (?:say|mention|state|specify|contain|provide|answer)\b"
    r"|\bno (?:information|answer)\b|\b(?:unknown|unanswerable|n/a)\b|\bunable to (?:answer|say|find)\b",
    re.IGNORECASE,
)
"""English ways of saying so. It errs on the side of what models usually write; a task's own phrase is what counts."""


def own_phrase(rows: Sequence[Row]) -> str | None:
    """What the task itself answers where its documents do not: the answer that most rows without evidence share, in a
    task in which other rows name theirs. None where there is no such phrase."""
    without = [row.answers[0] for row in rows if not row.evidence]
    if not without or len(without) == len(rows):
        return None
    phrase, count = Counter(without).most_common(1)[0]
    return phrase if count >= LEAST_ROWS and 2 * count > len(without) else None


def asks_for_unknown(row: Row, phrase: str | None) -> bool:
    """Whether the accepted answer of the row is the task's phrase."""
    return phrase is not None and not row.evidence and phrase in row.answers


def abstains(reply: str, phrase: str | None) -> bool:
    """The task's phrase (a mark in brackets at its end may be missing), or words that usually say so."""
    if phrase is not None and stands_in(core_of(phrase), reply):
        return True
    return stands_in(NO_ANSWER.rstrip("."), reply) or UNKNOWING.search(reply.replace("’", "'")) is not None
