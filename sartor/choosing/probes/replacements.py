"""Another plausible answer of the same kind: a number for a number, a name for a name.

A fact is edited by it, so it must read as naturally as the old one and be told apart from it by the scorer.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

ONES = "two|three|four|five|six|seven|eight|nine"  # one is more often a pronoun
TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
WORD_NUMBER = re.compile(rf"\b(?:(?:{TENS})-(?:one|{ONES})|{ONES}|{TEENS}|{TENS})\b")
DIGITS = re.compile(r"(?<![\w.,:])\d+(?:[.,:]\d+)*(?![\w:]|[.,]\d)")
MARK = re.compile(r"\s*[\[(][^\[\]()]*[\])]\s*$")
CONNECTORS = frozenset({"a", "an", "and", "at", "de", "for", "in", "of", "on", "or", "the", "to", "von"})
LONGEST_NAME_WORDS = 6
NAME = "name"
VERBS = frozenset({"is", "are", "was", "were", "do", "does", "did", "has", "have", "had", "can", "could", "will"})
NAME_LETTERS = re.compile(r"[\w'’. -]+")  # no lists, no formulas
ASKED = re.compile(r"\b(?:(?P<word>who|whom|whose|where|when|how \w+|why)|(?:what|which) (?P<thing>\w+))\b")


@dataclass(frozen=True)
class Kind:
    """What an answer is: `form` names the kind of its number, or says that it is a name; `start` and `end` are where
    the part that may be exchanged stands in it."""

    form: str
    start: int
    end: int


def core_of(answer: str) -> str:
    """The answer without a mark in brackets at its end, such as the source that a house style wants: that mark is no
    part of the fact."""
    return MARK.sub("", answer).strip() or answer.strip()


def kind_of(core: str) -> Kind | None:
    """None for an answer that is neither one number (with words around it) nor a name: another phrase in its place
    would hardly make sense."""
    numbers = [*DIGITS.finditer(core), *WORD_NUMBER.finditer(core)]
    if len(numbers) == 1:
        found = numbers[0]
        return Kind(_number_form(found[0]), found.start(), found.end())
    words = core.split()
    if numbers or not 0 < len(words) <= LONGEST_NAME_WORDS:
        return None
    heavy = [word for word in words if word.lower() not in CONNECTORS]
    if heavy and all(word[0].isupper() for word in heavy) and NAME_LETTERS.fullmatch(core) and len(core) > 1:
        return Kind(NAME, 0, len(core))
    return None


def _number_form(number: str) -> str:
    if number[0].isalpha():
        return "number in words"
    if ":" in number:
        return "time"
    if "." in number:
        return "decimal number"
    return "year" if re.fullmatch(r"1\d{3}|20\d\d", number) else "number"


@dataclass(frozen=True)
class Fact:
    """An answer's core and the question that it answers."""

    question: str
    core: str


def replacement(fact: Fact, donors: Sequence[Fact], avoid: str, chance: random.Random) -> str | None:
    """The core with its number exchanged for that of another answer, in the same form, or with another answer's name.

    `donors` are the facts of other rows. None where there is no kind, or no donor whose result is new: it must not
    stand in `avoid`, the text that will hold it. A name comes from a question that asks alike (who, where, which
    river), or begins or ends as the old one does. Answers to such questions come first; the rest is drawn by `chance`.
    """
    core, kind = fact.core, kind_of(fact.core)
    if kind is None:
        return None
    found = []
    for donor in dict.fromkeys(donors):
        other = kind_of(donor.core)
        if other is None or other.form != kind.form:
            continue
        made = core[: kind.start] + donor.core[other.start : other.end] + core[kind.end :]
        unlike = not _ask_alike(fact.question, donor.question)
        if kind.form == NAME and unlike and not _resemble(core, donor.core):
            continue
        if made.casefold() != core.casefold() and not stands_in(made, avoid):
            found.append((unlike, chance.random(), made))
    return min(found)[2] if found else None


def _ask_alike(ours: str, theirs: str) -> bool:
    """Whether both ask with the same word, and if that is what or which, for the same thing."""
    first, second = ASKED.search(ours.lower()), ASKED.search(theirs.lower())
    if first is None or second is None:
        return False
    things = {first["thing"], second["thing"]}
    return first["word"] == second["word"] and len(things) == 1 and not things & VERBS


def _resemble(ours: str, theirs: str) -> bool:
    a, b = ours.split(), theirs.split()
    return (a[0] == b[0] and a[0].lower() not in CONNECTORS) or a[-1] == b[-1]


def phrase_pattern(text: str) -> re.Pattern[str]:
    """Finds the text as whole words, also across line ends, and never inside a longer number."""
    words = r"\s+".join(re.escape(word) for word in text.split())
    return re.compile(rf"(?<!\w)(?<!\d[.,:]){words}(?!\w|[.,:]\d)")


def stands_in(text: str, longer: str) -> bool:
    """Whether the text stands word for word in the longer one; case does not matter."""
    return phrase_pattern(text.casefold()).search(longer.casefold()) is not None
