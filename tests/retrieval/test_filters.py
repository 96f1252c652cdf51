"""Filters against brute force on random data: the filter comes first, and what is left is ranked exactly."""

import math
import random

import numpy as np
import pytest

from sartor.base.errors import UsageError
from sartor.data.extract import make_document
from sartor.retrieval.filters import filter_key
from sartor.retrieval.fusion import Ranking
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.search import StoreRetriever, search

WORDS = ["red", "green", "blue", "ship", "storm", "harbour", "sailor", "rope", "anchor", "deck"]
VALUES = {
    "year": [2023, 2024, 2024.0, 2024.5, "2024"],
    "open": [True, False, 1, "True"],
    "type": ["markdown", "pdf", ""],
}


@pytest.fixture
def documents(store, embedder):
    draw = random.Random(5)
    made = [
        make_document(
            f"d{number}",
            "Title",
            " ".join(draw.choices(WORDS, k=draw.randrange(3, 90))),
            "",
            {field: draw.choice(values) for field, values in VALUES.items() if draw.random() < 0.8},
        )
        for number in range(80)
    ]
    index_folder(store, made, embedder)
    return {document.id: document for document in made}


def allows(where, metadata) -> bool:
    """The contract in plain Python: a field equals one of the values, and true is not the number 1."""

    def same(left, right) -> bool:
        kinds = [bool if isinstance(each, bool) else str if isinstance(each, str) else float for each in (left, right)]
        return kinds[0] is kinds[1] and left == right

    several = {field: wanted if isinstance(wanted, list) else [wanted] for field, wanted in where.items()}
    return all(
        field in metadata and any(same(metadata[field], one) for one in wanted) for field, wanted in several.items()
    )


def test_filtered_candidates_are_those_of_brute_force(store, embedder, documents):
    draw = random.Random(6)
    everything = store.count_chunks()
    for _ in range(60):
        where = {
            field: draw.choice([draw.choice(values), draw.sample(values, 2)])
            for field, values in VALUES.items()
            if draw.random() < 0.6
        } or {"type": "pdf"}
        query = " ".join(draw.choices(WORDS, k=2))
        asked = embedder.embed([query])
        (whole,) = store.candidates([query], asked, everything)
        ids = {id for id, owner in zip(whole.ids.tolist(), store.document_ids(whole.ids.tolist()), strict=True)
               if allows(where, documents[owner].metadata)}  # fmt: skip
        (found,) = store.candidates([query], asked, everything, where)
        assert set(found.ids.tolist()) == ids, where
        rows = np.isin(whole.ids, found.ids)
        np.testing.assert_array_equal(found.lexical, whole.lexical[rows])  # BM25 is that of the whole store
        np.testing.assert_allclose(found.dense, whole.dense[rows], rtol=1e-6)
        (few,) = store.candidates([query], asked, 4, where)
        best = set(found.ids[np.lexsort((found.ids, -found.lexical))][:4][np.sort(-found.lexical)[:4] < 0].tolist())
        best |= set(found.ids[np.lexsort((found.ids, -found.dense))][:4].tolist())
        assert set(few.ids.tolist()) == best
        for passage in search(store, embedder, [query], 5, where=where)[0]:
            assert allows(where, documents[passage.document_id].metadata)


def test_what_matches_nothing_finds_nothing(store, embedder, documents):
    for where in ({"year": []}, {"colour": "red"}, {"year": math.nan}, {"type": "pdf", "colour": "red"}):
        assert search(store, embedder, ["ship"], 3, where=where) == [[]]
    with pytest.raises(UsageError, match="compares with a text, a number or true/false, not with NoneType"):
        search(store, embedder, ["ship"], 3, where={"year": None})
    with pytest.raises(UsageError, match="not with dict"):
        search(store, embedder, ["ship"], 3, where={"year": {"from": 2023}})


def test_keys_tell_kinds_apart():
    assert filter_key(1) == filter_key(1.0) != filter_key(True) != filter_key("True")
    assert filter_key(2**80) == filter_key(float(2**80)) and filter_key(math.nan) is None
    assert filter_key("number 1") != filter_key(1) and filter_key(0.1) != filter_key(0.1000001)


def test_metadata_comes_back_and_changes_with_its_document(store, embedder, documents):
    assert store.document("d3") == documents["d3"]
    assert store.fields()["year"] == sum("year" in document.metadata for document in documents.values())
    moved = make_document("d3", "Title", documents["d3"].text, "", {"type": "epub"})
    report = index_folder(store, (documents | {"d3": moved}).values(), embedder)
    assert (report.replaced, report.embedded) == (1, 0)
    (found,) = search(store, embedder, ["ship"], 9, where={"type": "epub"})
    assert {passage.document_id for passage in found} == {"d3"}
    assert store.problems() == []


def test_the_store_says_how_it_is_searched(store, embedder, documents):
    assert store.ranking == Ranking()
    store.set_ranking(Ranking.of_weight(0.0))
    query = ["anchor rope"]
    assert StoreRetriever(store, embedder).retrieve(query, 5) == search(store, embedder, query, 5, 0.0)
    assert store.ranking.mode == "bm25"
    store.set_ranking(Ranking("fused", 0.4))
    assert StoreRetriever(store, embedder).retrieve(query, 5) == search(store, embedder, query, 5, 0.4)
