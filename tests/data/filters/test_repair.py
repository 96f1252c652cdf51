"""Encoding repair: what is repaired, what stays, and that a second repair finds nothing."""

import re
import unicodedata

import pytest
from ftfy.badness import BADNESS_RE, is_bad
from hypothesis import given
from hypothesis import strategies as st

from sartor.data.documents import documents_table, text_hash
from sartor.data.filters.repair import BADNESS_WIDTH, Repair, looks_wrongly_decoded, repair_text


def repaired(text: str) -> str:
    return repair_text(text)[0]


@pytest.mark.parametrize(
    "text", ["schön — “naïve” café", "Größe und Maß über alles", "l’été à Orléans", "Žluťoučký kůň"]
)
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_utf8_read_as_another_encoding_is_read_again(text, encoding):
    wrong = text.encode().decode(encoding, errors="ignore")
    if wrong.encode(encoding).decode(errors="replace") != text:
        pytest.skip("the wrong reading lost characters")
    assert repaired(f"fine line\n{wrong}") == f"fine line\n{unicodedata.normalize('NFC', text)}"


@pytest.mark.parametrize(
    "text",
    ["plain\ttext\n", "“quotes” – ﬁnd … ½", "日本語のテキスト", "العربية\u200cنص", "👩\u200d💻", "ÃÉ is a name", ""],
)
def test_what_is_right_stays(text):
    assert repair_text(text) == (text, set())


def test_line_ends_controls_and_composition():
    assert repaired("a\r\nb\rc\x0cd\u2028e") == "a\nb\nc\nd\ne"
    assert repaired("\ufeffa\x00b\x1bc\x7fd") == "abcd"
    assert repaired("e\x01\u0301") == "é", "what a control character kept apart is composed"


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_a_second_repair_changes_nothing(text):
    once = repaired(text)
    assert repair_text(once) == (once, set())


@given(st.text("aé\r\n\x00\u0301Ã©â€™ ", max_size=30))
def test_a_second_repair_changes_nothing_of_likely_damage(text):
    once = repaired(text)
    assert repair_text(once) == (once, set())


def test_the_step_counts_and_edits_only_what_needs_it():
    texts = ["fine", "cafÃ©", "a\r\nb", "ümlaut"]
    table = documents_table({"id": str(i), "text": text, "source": "s", "title": text} for i, text in enumerate(texts))
    outcome = Repair()(table)
    assert outcome.reasons is None
    assert outcome.documents["text"].to_pylist() == ["fine", "café", "a\nb", "ümlaut"]
    assert outcome.documents["title"].to_pylist() == ["fine", "café", "a\nb", "ümlaut"]
    assert outcome.documents["sha256"].to_pylist() == [text_hash(t) for t in outcome.documents["text"].to_pylist()]
    assert outcome.documents.schema.equals(table.schema)
    assert sorted(outcome.counts.values()) == [1, 1]


SUSPICIOUS = st.sampled_from([*"ÃÂ¶©™œž×²àÐé°日\x85", "â€", "ВЂ", "‚Ä"])
AROUND = st.sampled_from([" ", "\n", ".", "a", "Z", "1", "plain words of some length, ", "x" * 14, "y" * 15])


@given(st.lists(SUSPICIOUS | AROUND, max_size=30).map("".join))
def test_looking_around_what_is_not_ascii_finds_what_looking_everywhere_does(text):
    assert looks_wrongly_decoded(text) == is_bad(text)


def test_what_is_looked_for_is_no_longer_than_what_is_looked_at():
    _, longest = re._parser.parse(BADNESS_RE.pattern, BADNESS_RE.flags).getwidth()
    assert longest <= BADNESS_WIDTH
