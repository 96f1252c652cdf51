import json

from sartor.data.documents import documents_table
from sartor.data.pipeline import description
from sartor.data.pipeline.description import OTHER, Description, combined
from sartor.data.source_groups import source_group
from tests.data.pipeline.toy import rows


def test_counts_by_hand():
    texts = ["", "a", "ab", "äöü", "x" * 1024]
    found = Description()
    found.note(documents_table({"id": t, "text": t, "source": "https://a.example/x"} for t in texts))
    assert found.lengths == {-1: 1, 0: 1, 1: 2, 10: 1}
    assert (found.documents, found.text_bytes) == (5, 1 + 2 + 6 + 1024)
    assert found.sources == {"a.example": 5}
    assert found.languages == {"(unknown)": 5}


def test_parts_add_up_to_the_whole():
    table = documents_table(rows(60))
    whole, parts = Description(), []
    whole.note(table)
    for start, number in ((0, 1), (1, 30), (31, 0), (31, 29)):
        part = Description()
        part.note(table.slice(start, number))
        parts.append(Description.from_dict(json.loads(json.dumps(part.as_dict()))))
    assert combined(parts) == whole


def test_only_the_largest_sources_are_told_apart(monkeypatch):
    monkeypatch.setattr(description, "MOST_SOURCES", 2)
    found = Description(documents=9)
    found.sources.update({"a": 2, "b": 4, "c": 2, OTHER: 1})
    assert found.as_dict()["sources"] == {"b": 4, "a": 2, OTHER: 3}


def test_groups_of_sources():
    groups = {
        "https://User@Example.org:80/x?y": "example.org",
        "books/one.txt": "books",
        "one.txt": ".",
        "http://[": "(unknown)",
    }
    assert {source: source_group(source) for source in groups} == groups
