import pytest

from sartor.data.filters.refinedweb_lines import RefinedWebLines
from tests.data.filters.judging import edited, outcome, reason

LINES_ONLY = RefinedWebLines(max_flagged_words=None)


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("An ordinary line of words", "An ordinary line of words"),
        ("AbCd aBcD", "AbCd aBcD"),  # half of the letters
        ("ABCd aBcD", None),
        ("ÀÉÎ ÕÜ été", None),
        ("東京 大阪", "東京 大阪"),  # letters without case are not capitals
        ("12 345", None),
        ("12 / 345", None),
        ("3 likes", None),
        ("1.2k Comments", None),
        ("3 little pigs", "3 little pigs"),
        ("3 pigs", "3 pigs"),
        ("Home", None),
        ("Sign in to read this page", " to read this page"),
        ("A short teaser Read more...", "A short teaser "),
        ("You have 3 items in cart today", "You have 3  today"),
        ("Log into the machine with a key", ...),
        ("Sign information was hard to read", ...),
        ("Skip to contents of the book", ...),
        ("the virus had spread more", ...),
        ("six items in cartons of milk", ...),
        ("Log inévitable de la machine", ...),
        ("éread more is no phrase, éread more", ...),
        ("Log in, please, or go away", ", please, or go away"),
        ("There are now, at long last, many things and items in cart today", ...),
        ("", ""),
        ("   ", "   "),
    ],
)
def test_what_becomes_of_a_line(line, left):
    before, after = "Here is the first line.", "And here is the last."
    expected = [before, *([] if left is None else [line if left is ... else left]), after]
    assert edited(LINES_ONLY, "\n".join([before, line, after])) == "\n".join(expected)


def test_five_percent_of_flagged_words_are_the_most():
    assert reason(RefinedWebLines(), "word " * 19 + "\nHome") is None  # 1 of 20
    assert reason(RefinedWebLines(), "word " * 18 + "\nHome") == "refinedweb_flagged_words"
    assert reason(RefinedWebLines(), "") is None


def test_rules_can_be_switched_off():
    off = RefinedWebLines(
        max_upper_case_letters=None, drop_numbers=False, counters=(), min_words_per_line=None,
        first_phrases=(), last_phrases=(), phrases=(), max_flagged_words=None,
    )  # fmt: skip
    text = "HOME\n12\n3 likes\nSign in\n"
    assert edited(off, text) == text
    assert set(outcome(off, text).counts.values()) == {0}
