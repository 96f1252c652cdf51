"""Decisions and texts are those of datatrove, the reference that FineWeb was made with."""

import pytest

from sartor.data.filters.c4 import C4Quality
from sartor.data.filters.fineweb import FineWebQuality
from sartor.data.filters.gopher_quality import GopherQuality
from sartor.data.filters.gopher_repetition import GopherRepetition
from tests.data.filters.judging import outcome
from tests.data.filters.spoiled_texts import spoiled_texts

pytest.importorskip("datatrove", reason="datatrove is not installed")
pytest.importorskip("spacy", reason="datatrove cuts English words with spaCy")

COUNT = 400


def peer(name: str, **settings):
    filters = pytest.importorskip("datatrove.pipeline.filters")
    return getattr(filters, name)(**settings)


@pytest.mark.parametrize(
    ("step", "name", "settings"),
    [
        (GopherRepetition(), "GopherRepetitionFilter", {}),
        (GopherQuality(), "GopherQualityFilter", {}),
        (C4Quality(), "C4QualityFilter", {}),
        (C4Quality(terminal_marks=None), "C4QualityFilter", {"filter_no_terminal_punct": False}),
        (FineWebQuality(), "FineWebQualityFilter", {}),
    ],
    ids=["repetition", "quality", "c4", "c4 without marks", "fineweb"],
)
def test_decisions_and_texts_are_datatroves(step, name, settings):
    data = pytest.importorskip("datatrove.data")
    texts, theirs = spoiled_texts(COUNT, seed=3), peer(name, **settings)
    found = outcome(step, *texts)
    reasons, edited = found.reasons.to_pylist(), found.documents["text"].to_pylist()
    kept = 0
    for text, reason, ours in zip(texts, reasons, edited, strict=True):
        document = data.Document(text=text, id="")
        passes = theirs.filter(document) is True
        assert passes == (reason is None), (reason, text)
        if passes:
            kept += 1
            assert document.text == ours
    assert 0.02 * COUNT < kept < 0.98 * COUNT, "the texts must show both sides"
