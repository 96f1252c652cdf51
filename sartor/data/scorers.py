"""How one reply is scored against a row's accepted answers: the one measure of a task.

`scorer(name)` gives a `Scorer`; `score(reply, answers)` is in [0, 1] and is the best over the accepted
answers. The same scorer is the metric of `evaluate`, the reward of reinforcement learning and the criterion
of `choose`. `check_answers` finds rows that could never be answered rightly before anything runs.
"""

import difflib
import json
import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from re import _parser as pattern_parser  # type: ignore[attr-defined]
from typing import Any

from sartor.base.errors import DataError, UsageError

MAX_REGEX_REPLY_CHARACTERS = 4_000
MANY_REPEATS = 10

Problem = tuple[str, str]


@dataclass(frozen=True)
class Scorer:
    """One way of scoring; `binary` says that every score is 0 or 1.

    `compare(reply, answer)` scores against one answer; `problem(answer)` says why an answer could never score
    as `(what, hint)`, or None when it can.
    """

    name: str
    binary: bool
    compare: Callable[[str, str], float]
    problem: Callable[[str], Problem | None]
    description: str

    def score(self, reply: str, answers: Sequence[str]) -> float:
        """The best score of `reply` over the accepted `answers`; ValueError when there are none."""
        return max(self.compare(reply, answer) for answer in answers)


def scorer(name: str) -> Scorer:
    """The scorer called `name`; UsageError names the nearest one."""
    if name in SCORERS:
        return SCORERS[name]
    nearest = difflib.get_close_matches(name, SCORERS, n=1)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    raise UsageError(f"unknown scorer: {name}", hint=f"{hint}scorers: {', '.join(SCORERS)}")


def check_answers(by: Scorer, answers: Sequence[str], where: str) -> None:
    """Raise DataError at `where` when the row has no answer, or one that no reply could match."""
    if not answers:
        raise DataError("the row has no answer", where=where, hint='give "answer": a text or a list of texts')
    for answer in answers:
        problem = by.problem(answer)
        if problem:
            what, hint = problem
            raise DataError(f"{what}: {_shortened(answer)}", where=where, hint=hint)


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


# exact, label, contains

SENTENCE_MARKS = ".,;:!?"
SURROUNDING_MARKS = SENTENCE_MARKS + "\"'`*()[]{}<>“”‘’„«»"


def _folded(text: str) -> str:
    """Case folded, compatible characters unified (Unicode NFKC), every run of white space one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _normalised_exact(text: str) -> str:
    return _folded(text).rstrip(SENTENCE_MARKS + " ")


def _normalised_label(text: str) -> str:
    """The first line that is not blank, without bullet and surrounding marks; `_`, `-` and space are one.

    Marks such as `+` and `#` stay (C++, C#), and a leading minus stays (-1).
    """
    line = next((line for line in text.splitlines() if line.strip()), "")
    line = re.sub(r"^[-*•]\s+", "", _folded(line)).strip(SURROUNDING_MARKS + " ")
    return re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", " ", line)


def _contains(reply: str, answer: str) -> float:
    """Whole words: not inside a longer word, nor inside a longer number (5 is not in 5.3)."""
    pattern = rf"(?<!\w)(?<!\d[.,]){re.escape(_normalised_exact(answer))}(?!\w|[.,]\d)"
    return float(re.search(pattern, _folded(reply)) is not None)


def _equal_after(normalise: Callable[[str], str]) -> Callable[[str, str], float]:
    return lambda reply, answer: float(normalise(reply) == normalise(answer))


def _nothing_left_after(normalise: Callable[[str], Any]) -> Callable[[str], Problem | None]:
    def problem(answer: str) -> Problem | None:
        if not answer.strip():
            return "the answer is empty", "write the expected answer, or remove the row"
        if not normalise(answer):
            return "nothing is left of the answer once it is normalised", "use another scorer"
        return None

    return problem


# f1, rouge

ARTICLES = frozenset({"a", "an", "the"})


def _squad_tokens(text: str) -> list[str]:
    """As SQuAD's evaluate-v1.1.py (Rajpurkar et al. 2016), but Unicode punctuation goes as well as ASCII."""
    kept = (c for c in text.lower() if c not in string.punctuation and unicodedata.category(c)[0] != "P")
    return [token for token in "".join(kept).split() if token not in ARTICLES]


def _f_measure(common: int, num_reply: int, num_answer: int) -> float:
    return 2 * common / (num_reply + num_answer) if common else 0.0


def _f1(reply: str, answer: str) -> float:
    ours, theirs = _squad_tokens(reply), _squad_tokens(answer)
    return _f_measure((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Its length, by Hyyrö's bit-vector recurrence (2004): a zero bit in `row` is a step in the table."""
    places: dict[str, int] = {}
    for index, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << index
    full = (1 << len(a)) - 1
    row = full
    for token in b:
        matched = row & places.get(token, 0)
        row = (row + matched | row - matched) & full
    return len(a) - row.bit_count()


def _rouge_l(reply: str, answer: str) -> float:
    """ROUGE-L with equal weights (Lin 2004, section 3.1) over lower-case words, without stemming."""
    ours, theirs = _words(reply), _words(answer)
    return _f_measure(longest_common_subsequence(ours, theirs), len(ours), len(theirs))


# numeric

_DIGITS = r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
_SIGN = r"[-−+]?(?:[$€£¥]\s?)?[-−+]?"
NUMBER = re.compile(
    rf"(?<![\w./])(?P<sign>{_SIGN})(?P<above>{_DIGITS})\s?/\s?(?P<below>{_DIGITS})(?!\s?/|\d)"
    rf"|(?<![\w.])(?P<plain_sign>{_SIGN})(?P<plain>{_DIGITS}(?:[eE][-+]?\d{{1,4}})?)"
)


def last_number(text: str) -> float | None:
    """The last number in `text`, or None.

    Read are `1,234.5`, `$3`, `-2`, `.5`, `1e-3` and simple fractions such as `3/4`. A % sign is a unit like
    any other (50% is 50); digits inside a word (H2O) are no number; a hyphen after a digit (3-5) or before a
    space is no minus.
    """
    values = (_value(match) for match in NUMBER.finditer(text))
    return next((value for value in reversed(list(values)) if math.isfinite(value)), None)


def _value(match: re.Match[str]) -> float:
    value = float((match["above"] or match["plain"]).replace(",", ""))
    below = float((match["below"] or "1").replace(",", ""))
    negative = any(minus in (match["sign"] or match["plain_sign"] or "") for minus in "-−")
    return math.nan if below == 0 else (-value if negative else value) / below


def _numeric(reply: str, answer: str) -> float:
    """Whole numbers must be equal; others within a relative tolerance of 1e-6."""
    ours, theirs = last_number(reply), last_number(answer)
    if ours is None or theirs is None:
        return 0.0
    if ours.is_integer() and theirs.is_integer():
        return float(ours == theirs)
    return float(math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-12))


def _not_a_number(answer: str) -> Problem | None:
    if last_number(answer) is None:
        return "the answer holds no number", "write it in digits (1,234.5), or use another scorer"
    return None


# json

NOT_FOUND = object()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def first_json_value(text: str) -> Any:
    """The whole text or its first ``` fence as JSON, else the first object or array in it, else NOT_FOUND.

    A bare number or string inside prose is no value: only an object or array can be told from prose.
    """
    fence = re.search(r"```[\w-]*\s*(.*?)```", text, re.DOTALL)
    try:
        for whole in (text, fence[1] if fence else ""):
            value = _decoded(whole.strip(), 0, to_end=True)
            if value is not NOT_FOUND:
                return value
        starts = (match.start() for match in re.finditer(r"[{\[]", text))
        return next((v for v in (_decoded(text, start) for start in starts) if v is not NOT_FOUND), NOT_FOUND)
    except RecursionError:
        return NOT_FOUND


def _decoded(text: str, start: int, to_end: bool = False) -> Any:
    try:
        value, end = DECODER.raw_decode(text, start)
    except ValueError:
        return NOT_FOUND
    return NOT_FOUND if to_end and end != len(text) else value


def same_json(a: Any, b: Any) -> bool:
    """Structural equality: order of keys does not matter, 1 equals 1.0, true does not equal 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_json(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_json, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def _json(reply: str, answer: str) -> float:
    found = first_json_value(reply)
    return float(found is not NOT_FOUND and same_json(found, _decoded(answer.strip(), 0)))


def _not_json(answer: str) -> Problem | None:
    try:
        value = DECODER.decode(answer)
        same_json(value, value)
    except (ValueError, RecursionError) as error:
        return f"the answer is not JSON ({error})", "write one JSON value; keys and texts in double quotes"
    return None


# regex

ATOMIC = ("ATOMIC_GROUP", "POSSESSIVE_REPEAT", "ASSERT", "ASSERT_NOT")
REPEATS = ("MAX_REPEAT", "MIN_REPEAT")


def is_explosive(pattern: str) -> bool:
    """Whether matching may take time exponential in the reply's length, as `(a+)+b` does.

    Python's matcher backtracks and cannot be stopped, so such patterns are refused before the run; what is
    left is polynomial, and bounded by MAX_REGEX_REPLY_CHARACTERS. The test
    is on the safe side: refused are, inside a repeat of ten or more, a repeat of variable length and
    alternatives that may start with the same character, unless possessive or atomic (`a++`, `(?>a|b)`).
    """
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


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, ready to match; DataError when it is not one or could run for ever."""
    problem = _bad_pattern(pattern)
    if problem:
        raise DataError(f"{problem[0]}: {_shortened(pattern)}", hint=problem[1])
    return re.compile(pattern)


def _bad_pattern(pattern: str) -> Problem | None:
    if not pattern:
        return "the answer is empty", "write a pattern, or remove the row"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        hint = r"write \ before . ( ) [ ] * + ? that are meant as text"
        return f"the answer is not a regular expression ({error})", hint
    if is_explosive(pattern):
        hint = "inside a repeat, make the inner one possessive (a++) or the alternatives atomic ((?>a|b))"
        return "matching this regular expression could take for ever", hint
    return None


def _regex(reply: str, answer: str) -> float:
    text = reply.strip()
    return float(len(text) <= MAX_REGEX_REPLY_CHARACTERS and _compiled(answer).fullmatch(text) is not None)


SCORERS = {
    each.name: each
    for each in (
        Scorer(
            "exact", True, _equal_after(_normalised_exact), _nothing_left_after(_normalised_exact),
            "1 when the reply equals an accepted answer; case, white space and punctuation at the end "
            "do not matter.",
        ),
        Scorer(
            "label", True, _equal_after(_normalised_label), _nothing_left_after(_normalised_label),
            "1 when the reply's first line is the label; case, quotes and punctuation around it, and space, "
            "underscore or hyphen between its words do not matter. A label in a longer text does not count: "
            "one label may be part of another, and a reply could list them all.",
        ),
        Scorer(
            "f1", False, _f1, _nothing_left_after(_squad_tokens),
            "The words that reply and answer share (F1 as in SQuAD): 1 when all are the same, lower for each "
            "word missing or too much; articles, punctuation and order do not count.",
        ),
        Scorer(
            "contains", True, _contains, _nothing_left_after(_normalised_exact),
            "1 when an accepted answer occurs in the reply as whole words; case does not matter.",
        ),
        Scorer(
            "numeric", True, _numeric, _not_a_number,
            "1 when the last number in the reply is the answer's number: whole numbers exactly, others to "
            "six digits.",
        ),
        Scorer(
            "json", True, _json, _not_json,
            "1 when the first JSON value in the reply equals the answer; the order of keys, white space and "
            "a code fence around it do not matter.",
        ),
        Scorer(
            "regex", True, _regex, _bad_pattern,
            "1 when the whole reply matches the answer's regular expression; a reply of more than "
            f"{MAX_REGEX_REPLY_CHARACTERS:,} characters never does.",
        ),
        Scorer(
            "rouge", False, _rouge_l, _nothing_left_after(_words),
            "The longest run of words, gaps allowed, that reply and answer share in order (ROUGE-L): 1 when "
            "they are the same, lower for every word missing, too much or out of order.",
        ),
    )
}
