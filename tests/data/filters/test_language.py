"""Language identification: the step's rules, odd input, long texts. Real accuracy: tests/real/test_language_real.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.base.errors import UsageError
from sartor.data.documents import documents_table
from sartor.data.filters.language import LANGUAGES, Language, identify

ENGLISH = "It was a bright cold day in April, and the clocks were striking thirteen when he came home."
GERMAN = "Es war ein heller, kalter Tag im April, und die Uhren schlugen dreizehn, als er nach Hause kam."
HEBREW = "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם."


def table(*texts: str):
    return documents_table({"id": str(number), "text": text, "source": ""} for number, text in enumerate(texts))


def test_known_texts():
    assert [language for language, _ in identify([ENGLISH, GERMAN, HEBREW])] == ["en", "de", "he"]
    assert {"en", "de", "he", "jv", "zh", "bho"} <= LANGUAGES and "iw" not in LANGUAGES


def test_the_step_labels_and_drops():
    outcome = Language(("en",))(table(ENGLISH, GERMAN, "12345", ""))
    assert outcome.documents["language"].to_pylist() == ["en", "de", None, None]
    assert outcome.reasons.to_pylist() == [None, "language_not_wanted", "language_uncertain", "language_uncertain"]
    assert outcome.counts == {"language en": 1, "language de": 1, "language uncertain": 2}
    labelled = Language()(table(ENGLISH, "12345"))
    assert labelled.reasons is None and labelled.documents["language"].to_pylist() == ["en", None]


def test_a_mixed_text_is_uncertain():
    assert Language(("en",))(table(f"{ENGLISH} {GERMAN}")).reasons.to_pylist() == ["language_uncertain"]


def test_an_unknown_language_is_a_usage_error():
    with pytest.raises(UsageError, match="english"):
        Language(("english",))


def test_of_long_texts_three_places_are_read():
    [(language, score)] = identify([ENGLISH * 30 + GERMAN * 1000 + ENGLISH * 30])
    assert (language, 0.5 < score < 0.8) == ("en", True)


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_text_has_an_answer(text):
    [(language, score)] = identify([text])
    assert (language is None or language in LANGUAGES) and 0 <= score <= 1
