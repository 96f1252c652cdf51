"""The same question in other words, by rules that keep its meaning; English only.

A rule returns the text as it would then read, or None where it does not apply. They are few and cautious: a model that
writes paraphrases may change what is asked without anyone noticing. A task's own paraphrases (`paraphrase_file.py`)
come before them.
"""

import random
import re
from collections.abc import Callable, Iterable

Rule = Callable[[str], str | None]

QUESTION_WORDS = frozenset({
    "what", "when", "where", "which", "who", "whom", "whose", "why", "how", "is", "are", "was", "were", "do",
    "does", "did", "can", "could", "may", "might", "must", "shall", "should", "will", "would", "has", "have", "had",
    "am",
})  # fmt: skip
SHORTENED = {
    "what's": "what is", "where's": "where is", "who's": "who is", "how's": "how is", "that's": "that is",
    "don't": "do not", "doesn't": "does not", "didn't": "did not", "can't": "cannot", "won't": "will not",
    "isn't": "is not", "aren't": "are not", "wasn't": "was not", "haven't": "have not", "hasn't": "has not",
    "i'm": "I am", "i've": "I have", "i'll": "I will", "it's": None,  # it is, or it has
}  # fmt: skip
SHORTENED_WORD = re.compile(r"\b[A-Za-z]+'[a-z]+\b")
CLAUSE_FIRST = re.compile(r"^(?P<clause>(?:If|When|After|Before|While|Once) [^,?.!;:]+), (?P<rest>[^,?.!;:]+)\?$")
ASKED_FOR = re.compile(r"^What (?:is|are|was|were) (?P<thing>the [^,?.!;:]+)\?$")
INVERTED = re.compile(
    r"^(?:(?P<asked>(?:What|When|Where|Which|Who|Why|How)\b[^,?.!;:]*?) )?"
    r"(?P<verb>[Dd]o|[Cc]an|[Cc]ould|[Mm]ay|[Mm]ust|[Ss]hould|[Ww]ill|[Ww]ould|[Aa]m|[Aa]re|[Hh]ave) "
    r"(?P<who>I|we|you|they) (?P<rest>[^?.!;:]+)\?$"
)
CLAUSE_LAST = re.compile(r"^(?P<rest>[^,?.!;:]+?) (?P<clause>if [^,?.!;:]+)\?$")


def polite(text: str) -> str | None:
    """`Where is it?` -> `Could you tell me, please: where is it?`"""
    first = text.split(maxsplit=1)[0].lower() if text.split() else ""
    if not text.endswith("?") or "\n" in text or first not in QUESTION_WORDS:
        return None
    return f"Could you tell me, please: {_small_first(text)}"


def greeting(text: str) -> str | None:
    """A greeting in front."""
    return None if "\n" in text or re.match(r"(?i)(hi|hello|hey|dear)\b", text) else f"Hello! {text}"


def thanks(text: str) -> str | None:
    """Thanks behind."""
    if "\n" in text or re.search(r"(?i)thank", text):
        return None
    return f"{text} Thank you!" if text.endswith((".", "?", "!")) else f"{text}. Thank you!"


def without_mark(text: str) -> str | None:
    """Without the question mark, as people type in a hurry."""
    return text[:-1].rstrip() if text.endswith("?") and text.count("?") == 1 and len(text) > 1 else None


def in_small_letters(text: str) -> str | None:
    """Sentence beginnings and `I` in small letters; names and abbreviations stay."""
    made = re.sub(r"(?<![\w'.])I(?=\b(?!\.))", "i", _small_first(text))
    return made if made != text else None


def clause_moved(text: str) -> str | None:
    """`If it rains, who is told?` <-> `Who is told if it rains?`"""
    found = CLAUSE_FIRST.match(text)
    if found and found["rest"].split()[0].lower() in QUESTION_WORDS:
        return f"{_capital_first(found['rest'])} {_small_first(found['clause'])}?"
    found = CLAUSE_LAST.match(text)
    if found and found["rest"].split()[0].lower() in QUESTION_WORDS - {"do", "does", "did", "can", "could"}:
        return f"{_capital_first(found['clause'])}, {_small_first(found['rest'])}?"
    return None


def written_out(text: str) -> str | None:
    """`What's` -> `What is`."""
    if not any(SHORTENED.get(found[0].lower()) for found in SHORTENED_WORD.finditer(text)):
        return None

    def long_form(match: re.Match[str]) -> str:
        long = SHORTENED.get(match[0].lower())
        if not long:
            return match[0]
        return _capital_first(long) if match[0][0].isupper() else long

    return SHORTENED_WORD.sub(long_form, text)


def told(text: str) -> str | None:
    """`What is the fare?` -> `Tell me the fare.`"""
    found = ASKED_FOR.match(text)
    return f"Tell me {found['thing']}." if found else None


def indirect(text: str) -> str | None:
    """`When can I come?` -> `I would like to know when I can come.` Also for questions that yes or no answers."""
    found = INVERTED.match(text)
    if found is None:
        return None
    asked = _small_first(found["asked"]) if found["asked"] else "whether"
    verb = "" if found["verb"].lower() == "do" else f" {found['verb'].lower()}"
    return f"I would like to know {asked} {found['who']}{verb} {found['rest']}."


REWORDING: tuple[Rule, ...] = (clause_moved, told, indirect, written_out)
FRAMING: tuple[Rule, ...] = (polite, in_small_letters, without_mark, greeting, thanks)
"""Rules that leave the question itself as it is; used where no other applies."""


def paraphrase(text: str, answers: Iterable[str], chance: random.Random) -> tuple[str, str] | None:
    """The text in other words and the name of the rule, drawn among those that apply, rewording ones first; None where
    none does.

    A rule that changes a word of an accepted answer which stands in the question is not used: the scorer may need it
    as it is.
    """
    needed = {word for answer in answers for word in re.findall(r"\w+", answer) if word in re.findall(r"\w+", text)}
    for rules in (REWORDING, FRAMING):
        made = [(rule(text.strip()), rule.__name__) for rule in rules]
        fitting = [(each, name) for each, name in made if each is not None and needed <= set(re.findall(r"\w+", each))]
        if fitting:
            return chance.choice(fitting)
    return None


def _small_first(text: str) -> str:
    """The first letter small, unless the word may be a name: only words that begin questions and clauses are known not
    to be one."""
    first = text.split(maxsplit=1)[0] if text.split() else ""
    known = QUESTION_WORDS | {"if", "when", "after", "before", "while", "once", "the", "a", "an", "my", "please"}
    bare = first.lower().split("'")[0]
    return text[0].lower() + text[1:] if bare in known and first[1:] == first[1:].lower() else text


def _capital_first(text: str) -> str:
    return text[:1].upper() + text[1:]
