"""Both sides of each limit, computed by hand. A text at its limit stays."""

import pytest

from sartor.data.filters.gopher_quality import GopherQuality
from tests.data.filters.judging import reason

LIMITS = [name for name in GopherQuality.model_fields if name != "stop_words"]


def only(**rule) -> GopherQuality:
    return GopherQuality(**{**dict.fromkeys(LIMITS), **rule})


@pytest.mark.parametrize(
    ("rule", "kept", "dropped", "why"),
    [
        ({"min_words": 50}, "word " * 50 + ". , ;", "word " * 49 + ". , ;", "gopher_few_words"),
        ({"max_words": 100}, "word " * 100 + ". , ;", "word " * 101, "gopher_many_words"),
        ({"min_mean_word_characters": 3}, "ab abcd été . , ;", "ab abcd ét", "gopher_mean_word_length_low"),
        ({"max_mean_word_characters": 3}, "xx éééé", "xxx éééé", "gopher_mean_word_length_high"),
        ({"max_hashes_per_word": 0.1}, "w " * 9 + "#", "w " * 8 + "#", "gopher_hashes"),
        ({"max_ellipses_per_word": 0.1}, "w " * 9 + "...", "w " * 8 + "...", "gopher_ellipses"),
        ({"max_ellipses_per_word": 0.1}, "w " * 9 + "…", "w " * 8 + "…", "gopher_ellipses"),
        ({"max_ellipses_per_word": 0.1}, "w " * 9 + ".....", "w " * 9 + "......", "gopher_ellipses"),
        ({"max_bullet_lines": 0.9}, "• a\n - b\n" * 4 + "- a\nb", "• a\n\t- b\n" * 5, "gopher_bullet_lines"),
        ({"max_ellipsis_lines": 0.3}, "a...\nb … \nc…" + "\nd" * 7, "...\n…\nc…" + "\nd" * 6, "gopher_ellipsis_lines"),
        ({"min_words_with_letter": 0.8}, "a b c d é ж g 語 1 2", "a b c d e f g 8 9 10", "gopher_words_with_letter"),
        ({"min_stop_words": 2}, "the cat of", "The cat of of", "gopher_stop_words"),
        ({"min_stop_words": 2}, "the cat and", "the the the", "gopher_stop_words"),
    ],
)  # fmt: skip
def test_both_sides_of_a_limit(rule, kept, dropped, why):
    assert reason(only(**rule), kept) is None
    assert reason(only(**rule), dropped) == why


def test_lines_end_where_python_ends_them():
    rule = only(max_bullet_lines=0.9)
    for end in ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"):
        text = end.join(["- a"] * 9 + ["b"])
        assert len(text.splitlines()) == 10
        assert reason(rule, text) is None  # 9 of 10
        assert reason(rule, end.join(["- a"] * 10 + ["b"])) == "gopher_bullet_lines"  # 10 of 11


def test_other_stop_words_can_be_asked_for():
    rule = only(min_stop_words=2, stop_words=("der", "für"))
    assert reason(rule, "Brot für der") is None
    assert reason(rule, "the of and") == "gopher_stop_words"


def test_prose_stays_and_the_first_rule_that_fails_is_the_reason():
    prose = "The wind had been rising since noon, and with it the sea. " * 6
    assert reason(GopherQuality(), prose) is None
    assert reason(GopherQuality(), "") == "gopher_few_words"
    assert reason(GopherQuality(), "1 # " * 60) == "gopher_mean_word_length_low"
