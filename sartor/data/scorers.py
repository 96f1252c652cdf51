"""How one reply is scored against a row's accepted answers: the one measure of a task.

`scorer(name)` gives a `Scorer`; `score(reply, answers)` is in [0, 1] and is the best over the accepted
answers. The same scorer is the metric of `evaluate`, the reward of reinforcement learning and the criterion
of `choose`. `check_answers` finds rows that could never be answered rightly before anything runs.

The scorer `judge` asks a language model, which this room does not know: `evaluation/scoring.py` scores with any scorer.
"""

import difflib
import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sartor.base.errors import DataError, UsageError
from sartor.data.judge_settings import JudgeSettings
from sartor.data.pattern_cost import TEXT_CHARACTERS
from sartor.data.patterns import bad_pattern
from sartor.data.unspaced import UNSPACED
from sartor.data.values import (
    JSON_DECODER,
    NOT_FOUND,
    first_json_value,
    json_value_at,
    last_number,
    same_json,
    unclear_number,
)

MAX_REGEX_REPLY_CHARACTERS = TEXT_CHARACTERS
JUDGE = "judge"

Problem = tuple[str, str]


@dataclass(frozen=True)
class Scorer:
    """One way of scoring; `binary` says that every score is 0 or 1.

    `compare(reply, answer)` scores against one answer; `problem(answer)` says why an answer could never score
    as `(what, hint)`, or None when it can. `judge` says which model is asked instead (None: `compare` is used), and
    `judgements` is the file that keeps what it said (None: it is asked again each time).
    """

    name: str
    binary: bool
    compare: Callable[[str, str], float]
    problem: Callable[[str], Problem | None]
    description: str
    judge: JudgeSettings | None = None
    judgements: Path | None = None

    def score(self, reply: str, answers: Sequence[str]) -> float:
        """The best score of `reply` over the accepted `answers`; ValueError when there are none."""
        return max(self.compare(reply, answer) for answer in answers)


def scorer(name: str, judge: JudgeSettings | None = None) -> Scorer:
    """The scorer called `name`; `judge` is the model of the scorer of that name. UsageError names the nearest one."""
    if name in SCORERS:
        return SCORERS[name]
    if name == JUDGE:
        return _judged_by(judge)
    nearest = difflib.get_close_matches(name, [*SCORERS, JUDGE], n=1)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    raise UsageError(f"unknown scorer: {name}", hint=f"{hint}scorers: {', '.join([*SCORERS, JUDGE])}")


def _judged_by(judge: JudgeSettings | None) -> Scorer:
    if judge is None:
        hint = "name it in task.yaml, `judge: {model: …}`; it scores in evaluate and choose, and is no reward"
        raise UsageError("the scorer judge needs a model that judges", hint=hint)

    def compare(reply: str, answer: str) -> float:
        raise UsageError("the scorer judge asks a model, so it cannot score here", hint="use another scorer")

    what = "the language model" if judge.api_base_url is None else "the remote language model"
    description = (
        f"What {what} {judge.model} says of an answer, which it compares with the accepted one: right 1, partly right "
        "0.5, wrong 0. `sartor judge-check` tells how far that agrees with people."
    )
    return Scorer(JUDGE, False, compare, _nothing_left_after(str.strip), description, judge)


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


# A digit of such a script is no word of its own: numbers are read whole.
UNSPACED_CHARACTER = re.compile(rf"(?!\d)([{''.join(f'{chr(first)}-{chr(last)}' for first, last in UNSPACED)}])")
WORD_END = "\x1f"  # white space, so no folded text holds it


def _with_word_ends(text: str) -> str:
    """The folded text with marks around every character that is a word of its own."""
    return UNSPACED_CHARACTER.sub(rf"{WORD_END}\1{WORD_END}", text)


def _spaced(text: str) -> str:
    """The text with a space around every character that is a word of its own."""
    return UNSPACED_CHARACTER.sub(r" \1 ", text)


def _contains(reply: str, answer: str) -> float:
    """Whole words: not inside a longer word, nor inside a longer number (5 is in 2-5, but not in 5.3 or -5)."""
    wanted = _with_word_ends(_normalised_exact(answer)).strip(WORD_END)
    no_minus = r"(?<!\W[-−])(?<!^[-−])" if wanted[:1].isdecimal() else ""
    pattern = rf"(?<!\w)(?<!\d[.,]){no_minus}{re.escape(wanted)}(?!\w|[.,]\d)"
    return float(re.search(pattern, _with_word_ends(_folded(reply))) is not None)


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
    """As SQuAD's evaluate-v1.1.py (Rajpurkar et al. 2016), but Unicode punctuation goes as well as ASCII, and in
    scripts without spaces every character is a word, as CMRC 2018 (Cui et al. 2019) cuts them."""
    kept = (c for c in text.lower() if c not in string.punctuation and unicodedata.category(c)[0] != "P")
    return [token for token in _spaced("".join(kept)).split() if token not in ARTICLES]


def _f_measure(common: int, num_reply: int, num_answer: int) -> float:
    return 2 * common / (num_reply + num_answer) if common else 0.0


def _f1(reply: str, answer: str) -> float:
    ours, theirs = _squad_tokens(reply), _squad_tokens(answer)
    return _f_measure((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", _spaced(text.casefold()))


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
    """ROUGE-L with equal weights (Lin 2004, section 3.1) over lower-case words, without stemming; in scripts without
    spaces every character is a word."""
    ours, theirs = _words(reply), _words(answer)
    return _f_measure(longest_common_subsequence(ours, theirs), len(ours), len(theirs))


# numeric


def _numeric(reply: str, answer: str) -> float:
    """Whole numbers must be equal; others within a relative tolerance of 1e-6."""
    ours, theirs = last_number(reply), last_number(answer)
    if ours is None or theirs is None:
        return 0.0
    if ours.denominator == theirs.denominator == 1:
        return float(ours == theirs)
    return float(math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-12))


def _not_a_number(answer: str) -> Problem | None:
    if unclear_number(answer):
        hint = "write it without groups and with a point before decimals (1234567.5)"
        return "the answer's number can be read in several ways", hint
    if last_number(answer) is None:
        return "the answer holds no number", "write it in digits (1,234.5), or use another scorer"
    return None


# json


def _json(reply: str, answer: str) -> float:
    found = first_json_value(reply)
    return float(found is not NOT_FOUND and same_json(found, json_value_at(answer.strip(), 0)))


def _not_json(answer: str) -> Problem | None:
    try:
        value = JSON_DECODER.decode(answer)
        same_json(value, value)
    except (ValueError, RecursionError) as error:
        return f"the answer is not JSON ({error})", "write one JSON value; keys and texts in double quotes"
    return None


# regex


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, ready to match; DataError when it is not one or could run for ever."""
    problem = bad_pattern(pattern)
    if problem:
        raise DataError(f"{problem[0]}: {_shortened(pattern)}", hint=problem[1])
    return re.compile(pattern)


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
            "word missing or too much; articles, punctuation and order do not count. In scripts without spaces between "
            "words every character is one.",
        ),
        Scorer(
            "contains", True, _contains, _nothing_left_after(_normalised_exact),
            "1 when an accepted answer occurs in the reply as whole words; case does not matter. In scripts without "
            "spaces between words every character is one.",
        ),
        Scorer(
            "numeric", True, _numeric, _not_a_number,
            "1 when the last number in the reply is the answer's number: whole numbers exactly, others to "
            "six digits. Digits may stand in groups of three (1,000, 1 000, 1'000); a number that can be read in "
            "several ways (1.234.567, 3,14) is wrong.",
        ),
        Scorer(
            "json", True, _json, _not_json,
            "1 when the first JSON value in the reply equals the answer; the order of keys, white space and "
            "a code fence around it do not matter.",
        ),
        Scorer(
            "regex", True, _regex, bad_pattern,
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
