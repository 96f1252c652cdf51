"""Segments: nothing lost, never too long, cut where the text itself pauses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.base.errors import UsageError
from sartor.data.documents import documents_table, text_hash
from sartor.data.filters.segments import cut, segment


@given(st.text("ab .\n#é\u0301👩\u200d。", max_size=900), st.integers(100, 300))
def test_the_pieces_are_the_text(text, limit):
    pieces = list(cut(text, limit))
    assert "".join(pieces) == text
    assert all(len(piece) <= limit for piece in pieces)
    assert all(pieces) or text == ""


def test_the_best_pause_wins():
    paragraph = "One two three. Four five six. " * 3
    text = f"{paragraph}\n\n## Heading\n{paragraph}\n\n{paragraph}"
    assert next(cut(text, 150)).endswith("\n\n") and list(cut(text, 150))[1].startswith("## Heading")
    assert next(cut("word " * 40 + "end. " + "word " * 20, 210)).endswith("end. ")
    assert next(cut("word " * 60, 102)) == "word " * 20
    accented = "e\u0301" * 200
    assert all(not piece.startswith("\u0301") for piece in cut(accented, 101))


def test_rows_get_numbers_and_keep_the_rest():
    table = documents_table(
        [
            {"id": "book", "text": "A sentence. " * 50, "source": "here", "title": "Book", "language": "en"},
            {"id": "note", "text": "short", "source": "there"},
            {"id": "none", "text": "", "source": "there"},
        ]
    )
    result = segment(table, 250)
    assert result.schema.equals(table.schema)
    assert result["id"].to_pylist() == ["book##0001", "book##0002", "book##0003", "note", "none"]
    assert "".join(result["text"].to_pylist()[:3]) == "A sentence. " * 50
    assert result["sha256"].to_pylist() == [text_hash(text) for text in result["text"].to_pylist()]
    assert result["title"].to_pylist() == ["Book"] * 3 + [None] * 2
    assert segment(result, 250).equals(result)
    assert segment(table.slice(0, 0), 250).num_rows == 0


def test_a_senseless_limit_is_refused():
    with pytest.raises(UsageError):
        segment(documents_table([]), 5)
