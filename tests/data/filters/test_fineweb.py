"""Both sides of each limit, computed by hand. A text at its limit stays."""

import pytest

from sartor.data.filters.fineweb import FineWebQuality
from tests.data.filters.judging import reason

LIMITS = [name for name in FineWebQuality.model_fields if name != "short_line_characters"]


def only(**rule) -> FineWebQuality:
    return FineWebQuality(**{**dict.fromkeys(LIMITS), **rule})


@pytest.mark.parametrize("mark", [".", "?", "!", "。", "؟", "।"])
def test_lines_that_end_with_a_mark(mark):
    rule = only(min_ended_lines=0.12)
    assert reason(rule, f"end{mark}\n" * 3 + "open\n \n\n" * 22) is None  # 3 of 25
    assert reason(rule, f"end{mark}\n" * 2 + f"open{mark} \n" * 23) == "fineweb_ended_lines"  # a space comes after


def test_short_lines():
    rule = only(max_short_lines=0.67)
    short, long = "é" * 30, "é" * 31
    assert reason(rule, "\n".join([short] * 67 + [long] * 33)) is None
    assert reason(rule, "\n".join([short] * 68 + [long] * 32)) == "fineweb_short_lines"


def test_characters_of_repeated_lines():
    rule = only(max_duplicate_line_characters=0.01)
    assert reason(rule, "\n".join(["ß", "y" * 98, "ß"])) is None  # 1 of 100
    assert reason(rule, "\n".join(["ß", "y" * 97, "ß"])) == "fineweb_duplicate_line_characters"
    assert reason(rule, "a\n\n\n\nb\n  \n  \n") is None  # lines of spaces are not lines


def test_newlines_to_words():
    rule = only(max_newlines_per_word=0.3)
    assert reason(rule, "a b c d\ne f\ng h\ni j") is None  # 3 to 10
    assert reason(rule, "a b c\ne f\ng h\ni j") == "fineweb_newlines"  # 3 to 9


def test_nothing_but_spaces():
    for text in ("", " ", "\n\n", " \n\u3000\n"):
        assert reason(FineWebQuality(), text) == "fineweb_empty"
