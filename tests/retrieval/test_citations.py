"""Citations: which sentence supports an answer, and that nothing else can be cited."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.generation.protocol import Passage
from sartor.retrieval.citations import cite
from sartor.retrieval.sentences import meaning, sentences

FIRST = Passage("a#0", "a", "Orders leave on Monday. Returns are taken for thirty days. Ask the desk!", 1.0, start=100)
SECOND = Passage("b#2", "b", "The desk is in Dover.\n\nIt opens at 9.30 a.m. (not on Sundays). Bring the bill.", 0.9)
SHELF = [FIRST, SECOND]


def places(answer: str, question: str = "") -> list[tuple]:
    return [(each.number, each.text, each.exact, each.added) for each in cite(answer, SHELF, question)]


def test_a_mark_cites_the_sentence_that_supports_what_is_said():
    assert places("Returns are accepted for thirty days [1].") == [
        (1, "Returns are taken for thirty days.", True, False)
    ]
    (citation,) = cite("Thirty days [1].", SHELF)
    assert (citation.chunk_id, citation.start, citation.end) == ("a#0", 124, 158)
    assert places("The desk is in Dover [2]. Orders leave on Monday. [1]") == [
        (2, "The desk is in Dover.", True, False), (1, "Orders leave on Monday.", True, False),
    ]  # fmt: skip


def test_where_no_sentence_can_be_told_the_passage_is_cited():
    assert places("Quite so [1].") == [(1, FIRST.text, False, False)]
    assert places("[2]") == [(2, SECOND.text, False, False)]


def test_without_marks_words_give_the_place_away():
    assert places("thirty days", "How long are returns taken?") == [
        (1, "Returns are taken for thirty days.", True, True)
    ]
    assert places("In Dover.", "Where is the desk?") == [(2, "The desk is in Dover.", True, True)]
    assert places("Something else entirely") == places("") == places("?!") == []
    assert places("Dover [7]") == [(2, "The desk is in Dover.", True, True)]  # no such passage: no citation of its own


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [("x [2] y [1].", [2, 1]), ("[1][1, 2]", [1, 2]), ("[3; 2]", [2]), ("[0] [4] [99999] [-1] [x] 1", []),
     ("see [ 1 ]", []), ("a[1]", [1]), ("", []), ("[1,]", [])],
)  # fmt: skip
def test_only_what_was_retrieved_can_be_cited(answer, numbers):
    found = cite(answer, SHELF)
    assert list(dict.fromkeys(each.number for each in found if not each.added)) == numbers
    assert all(not each.added for each in cite("[1]", [])) and cite("[1]", []) == []


@given(st.text(alphabet="ab .!?\n[1]25,;Doverthirty") | st.text())
def test_every_citation_is_a_place_in_a_retrieved_passage(answer):
    for citation in cite(answer, SHELF, answer):
        passage = SHELF[citation.number - 1]
        assert (citation.chunk_id, citation.document_id) == (passage.chunk_id, passage.document_id)
        assert passage.text[citation.start - passage.start : citation.end - passage.start] == citation.text
    assert cite(answer, SHELF, answer) == cite(answer, SHELF, answer)


@given(st.text(alphabet="ab.!?\n ”)。- *"))
def test_sentences_hold_all_that_is_not_space(text):
    spans = sentences(text)
    assert "".join("".join(text[start:end].split()) for start, end in spans) == "".join(text.split())
    assert all(start < end and text[start:end].strip() == text[start:end] for start, end in spans)
    assert spans == sorted(spans)


def test_sentences_and_their_words():
    text = 'He said "Go." Then he\nleft!\n\n- one\n- two 日本。東京。'
    assert [text[start:end] for start, end in sentences(text)] == [
        'He said "Go."', "Then he\nleft!", "- one", "- two 日本。", "東京。",
    ]  # fmt: skip
    assert meaning("Where were the Sailors sailing?") == {"sailor", "sail"}
    assert meaning("to be") == {"to", "be"} and meaning("?") == frozenset()
