"""Settings of a collection, and what becomes of them."""

import pytest
from pydantic import ValidationError

from sartor.data.document_folder import DocumentFolder
from sartor.recipes.collect import CollectConfig, run


@pytest.mark.parametrize(
    "wrong",
    [{"sources": []}, {"sources": [" "]}, {"follow": -1}, {"requests_per_second": 0}, {"page_seconds": 0},
     {"max_document_mb": 0}, {"contact": "a\nX: b"}, {"contact": "ä"}, {"text_field": ""}, {"unknown": 1}],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        CollectConfig(**{"sources": ["a"], "out": "b"} | wrong)


def test_a_collection_is_made(tmp_path):
    (tmp_path / "a.md").write_text("# A\n\ntext")
    report = run(CollectConfig(sources=[str(tmp_path / "a.md")], out=str(tmp_path / "out"), max_document_mb=0.001))
    assert (report.documents, report.text_bytes) == (1, 9)
    assert DocumentFolder.open(tmp_path / "out").num_documents == 1


def test_a_document_over_the_limit_is_rejected(tmp_path):
    (tmp_path / "a.md").write_text("x" * 1_001)
    report = run(CollectConfig(sources=[str(tmp_path / "a.md")], out=str(tmp_path / "out"), max_document_mb=0.001))
    assert (report.documents, report.reasons) == (0, {"too_large": 1})
