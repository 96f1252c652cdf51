"""Slips of the fingers: a neighbouring key, two letters exchanged, one left out or doubled.

Only small letters inside ordinary words are touched. Left as they are: numbers, words with a digit or a capital (names,
abbreviations, identifiers), whatever is quoted or looks like code or an address, and every word of an accepted answer,
which the scorer may need.
"""

import random
import re
from collections.abc import Container, Iterable

RATE = 0.1  # of the words that may be touched, and at least one: what people leave uncorrected in quick messages
SHORTEST_WORD = 4
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
SHIFT = (0.0, 0.25, 0.75)  # how far each row of keys lies to the right of the top one
WORD = re.compile(r"(?<![\w@#/.:\\-])[a-z]+(?:'[a-z]+)?(?![\w@/\\(-]|[.:]\w)")
UNTOUCHED = re.compile(r"`[^`]*`|\"[^\"]*\"|“[^”]*”|«[^»]*»|<[^>]*>|\{[^}]*\}|\S+://\S+|\S+@\S+")


def _neighbours() -> dict[str, str]:
    places = {key: (row, SHIFT[row] + at) for row, keys in enumerate(ROWS) for at, key in enumerate(keys)}
    return {
        key: "".join(
            other
            for other, (its_row, its_place) in places.items()
            if other != key and abs(its_row - row) <= 1 and abs(its_place - place) <= 1
        )
        for key, (row, place) in places.items()
    }


NEIGHBOURS = _neighbours()
"""Each letter's adjacent keys on a QWERTY keyboard."""


def with_typos(
    text: str,
    answers: Iterable[str],
    chance: random.Random,
    known: Container[str] = frozenset(),
    rate: float = RATE,
) -> str | None:
    """The text with one slip in a share of `rate` of its words that may be touched, at least in one; None where there
    is no such word. What `answers` hold is left alone, and no slip makes one of the `known` words, which would ask for
    something else (`card` to `car`)."""
    needed = {word for answer in answers for word in re.findall(r"\w+", answer.casefold())}
    closed = [match.span() for match in UNTOUCHED.finditer(text)]
    words = [
        match
        for match in WORD.finditer(text)
        if len(match[0]) >= SHORTEST_WORD
        and match[0].split("'")[0] not in needed
        and not any(start < match.end() and match.start() < end for start, end in closed)
    ]
    if not words:
        return None
    for match in sorted(chance.sample(words, max(1, round(rate * len(words)))), key=lambda each: -each.start()):
        text = text[: match.start()] + slip(match[0], chance, known) + text[match.end() :]
    return text


def slip(word: str, chance: random.Random, known: Container[str] = frozenset()) -> str:
    """The word with one slip behind its first letter; neither the word itself nor a `known` one."""
    while True:  # letters and keys are drawn again, and a word of two letters has a dozen slips
        made = chance.choice((_neighbour, _exchanged, _dropped, _doubled))(word, chance)
        if made != word and made not in known:
            return made


def _place(word: str, chance: random.Random) -> int:
    return chance.choice([place for place in range(1, len(word)) if word[place] != "'"])


def _neighbour(word: str, chance: random.Random) -> str:
    at = _place(word, chance)
    return word[:at] + chance.choice(NEIGHBOURS[word[at]]) + word[at + 1 :]


def _exchanged(word: str, chance: random.Random) -> str:
    places = [at for at in range(1, len(word) - 1) if word[at] != word[at + 1] and "'" not in word[at : at + 2]]
    if not places:
        return word
    at = chance.choice(places)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _dropped(word: str, chance: random.Random) -> str:
    at = _place(word, chance)
    return word[:at] + word[at + 1 :]


def _doubled(word: str, chance: random.Random) -> str:
    at = _place(word, chance)
    return word[:at] + word[at] + word[at:]
