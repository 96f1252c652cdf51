"""Identifiers are compared on the languages that all of them know, on paragraphs of a length that can be chosen."""

import pytest

from benchmarks import language_identification
from benchmarks.language_identification import Identifier, measure, paragraphs

SHORT, LONG = "a short line", "a line that is long enough to count as a paragraph of its own"


def test_lines_are_joined_to_paragraphs_of_the_length_that_is_asked_for() -> None:
    text = f"{SHORT}\n\n  {LONG}\n{SHORT}\n{SHORT}\n"
    assert paragraphs(text) == [LONG]
    assert paragraphs(text, 20) == [f"{SHORT} {LONG}"[:20], f"{SHORT} {SHORT}"[:20]]
    assert [len(each) for each in paragraphs("word " * 3 + "\n" + ("word\n" * 99), 50)] == [50] * 9
    assert paragraphs(SHORT, 500) == []


def test_what_a_filter_would_keep_is_counted_over_the_languages_that_all_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is right and sure in English, right and not sure in German, wrong in Irish, which others do not know."""
    monkeypatch.setattr(language_identification, "speed", lambda identifier, texts: 0.0)
    answers = {"english": ("en", 0.9), "german": ("de", 0.5), "irish": ("en", 0.9), "other": ("en", 0.7)}
    identifier = Identifier("made", frozenset({"en", "de", "ga"}), lambda text: answers[text])
    pieces = {"eng": ["english"], "deu": ["german", "german"], "gle": ["irish"], "unheard_of": ["other"]}
    found = measure(identifier, frozenset({"en", "de"}), {}, pieces)
    assert (found["accuracy"], found["measured_languages"]) == (pytest.approx(2 / 3), 3)
    assert (found["common_accuracy"], found["common_kept"], found["others_passed"]) == (1.0, 0.5, 1.0)
