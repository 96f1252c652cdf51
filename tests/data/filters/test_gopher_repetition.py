"""Both sides of each limit, computed by hand. A text at its limit stays."""

import numpy as np
import pytest

from sartor.data.filters.gopher_repetition import GopherRepetition
from sartor.data.filters.repetition_measures import repeated_run_characters, top_run_characters
from sartor.data.filters.texts import Texts
from tests.data.filters.judging import outcome, reason, table

NOTHING = {
    "max_duplicate_paragraphs": None,
    "max_duplicate_paragraph_characters": None,
    "max_duplicate_lines": None,
    "max_duplicate_line_characters": None,
    "top_runs": (),
    "duplicate_runs": (),
}


def only(**rule) -> GopherRepetition:
    return GopherRepetition(**{**NOTHING, **rule})


def run_measures(measure, text: str, *lengths: int) -> list[int]:
    texts = Texts.of_column(table([text])["text"])
    return measure(texts, np.ones(1, np.bool_), lengths)[:, 0].tolist()


@pytest.mark.parametrize(("gap", "part"), [("\n", "line"), ("\n\n", "paragraph"), ("\n\n\n", "paragraph")])
def test_repeated_lines_and_paragraphs(gap, part):
    rule = only(**{f"max_duplicate_{part}s": 0.30})
    assert reason(rule, gap.join("abcdefgabc")) is None  # 3 of 10
    assert reason(rule, gap.join("abcaefgabc")) == f"gopher_duplicate_{part}s"  # 4 of 10


@pytest.mark.parametrize("letter", ["x", "é", "語", "😀"])
@pytest.mark.parametrize(("gap", "part", "filler"), [("\n", "line", 10), ("\n\n", "paragraph", 8)])
def test_characters_of_repeated_lines_and_paragraphs(gap, part, filler, letter):
    rule = only(**{f"max_duplicate_{part}_characters": 0.20})
    assert reason(rule, gap.join([4 * letter, filler * "y", 4 * letter])) is None  # 4 of 20
    too_much = gap.join([4 * letter, (filler - 1) * "y", 4 * letter])  # 4 of 19
    assert reason(rule, too_much) == f"gopher_duplicate_{part}_characters"


def test_lines_are_compared_as_they_are_and_empty_ones_between_do_not_count():
    rule = only(max_duplicate_lines=0.30)
    assert reason(rule, "a\na \n a\n\n\na\t") is None
    assert reason(rule, "a\n\n\na") == "gopher_duplicate_lines"  # 1 of 2


@pytest.mark.parametrize(
    ("length", "limit", "run"), [(2, 0.20, "of it"), (3, 0.18, "is of it"), (4, 0.16, "as is of it")]
)
def test_the_most_frequent_run(length, limit, run):
    rule = only(top_runs=((length, limit),))
    longest = int(2 * len(run) / limit)  # characters of a text in which two runs are just too many
    filler = longest - 2 * len(run) - 2
    assert reason(rule, f"{run} {'x' * filler} {run}") == (
        f"gopher_top_{length}_gram" if 2 * len(run) > limit * longest else None
    )
    assert reason(rule, f"{run} {'x' * (filler + 1)} {run}") is None
    assert reason(rule, f"{run} {'x' * (filler - 1)} {run}") == f"gopher_top_{length}_gram"


def test_of_equally_frequent_runs_the_first_counts():
    assert run_measures(top_run_characters, "a b cccc dddd", 2, 3, 4) == [3, 8, 13]
    assert run_measures(top_run_characters, "a bb c a bb d ee f ee f", 2) == [8]  # `a bb` twice, `ee f` twice
    assert run_measures(top_run_characters, "one", 2, 3) == [0, 0]
    assert run_measures(top_run_characters, "é ü é ü é", 2) == [6]


@pytest.mark.parametrize(("length", "limit"), [(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)])
def test_repeated_runs(length, limit):
    rule = only(duplicate_runs=((length, limit),))
    run = " ".join("abcdefghij"[:length])
    least = -(-length // limit)  # characters of the shortest text in which one repeated run is not too much
    filler = int(least) - 2 * len(run) - 2
    assert reason(rule, f"{run} {'x' * filler} {run}") is None
    assert reason(rule, f"{run} {'x' * (filler - 1)} {run}") == f"gopher_duplicate_{length}_gram"


def test_no_character_of_a_repeated_run_is_counted_twice():
    assert run_measures(repeated_run_characters, "a a a a a a a a a a", 5) == [5]
    assert run_measures(repeated_run_characters, " ".join("abcdeabcdeabcde"), 5, 10) == [10, 10]
    assert run_measures(repeated_run_characters, " ".join("abcdefghijabcdefghij"), 5, 7, 10) == [10, 7, 10]
    assert run_measures(repeated_run_characters, "a b c d e", 5) == [0]


def test_the_first_rule_that_fails_is_the_reason():
    step = GopherRepetition()
    found = outcome(step, "", "one line\n\none line", "xxxx\ny\nz\nxxxx", "a b a b a b").reasons.to_pylist()
    assert found == [
        "gopher_empty",
        "gopher_duplicate_paragraphs",
        "gopher_duplicate_line_characters",
        "gopher_top_2_gram",
    ]
