"""Search against brute force: BM25 by its formula, all cosines, and any question at all."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sartor.base.errors import UsageError
from sartor.retrieval.fusion import DEFAULT_DENSE_WEIGHT
from sartor.retrieval.indexing import cut, index_folder
from sartor.retrieval.query import full_text_expression
from sartor.retrieval.rerank import DEPTH, Reranker
from sartor.retrieval.search import StoreRetriever, search, tune_dense_weight

WORDS = [
    "red",
    "green",
    "blue",
    "ship",
    "storm",
    "harbour",
    "sailor",
    "rope",
    "anchor",
    "deck",
    "mast",
    "wind",
]


@pytest.fixture
def filled(store, embedder, make_documents):
    generator = np.random.default_rng(3)
    texts = {f"d{n}": " ".join(generator.choice(WORDS, generator.integers(3, 30))) for n in range(60)}
    index_folder(store, make_documents(**texts), embedder)
    return store


def bm25(store, query: list[str]) -> dict[int, float]:
    """FTS5's own formula (k1 1.2, b .75, idf at least 1e-6) over title and text, in plain Python."""
    ids, _ = store.matrix()
    bags = {
        id: f"{chunk.title} {chunk.text}".lower().split() for id, chunk in store.chunks(ids.tolist()).items()
    }
    average = sum(map(len, bags.values())) / len(bags)
    scores = {}
    for id, bag in bags.items():
        score = 0.0
        for word in query:
            containing = sum(word in other for other in bags.values())
            idf = max(math.log((len(bags) - containing + 0.5) / (containing + 0.5)), 1e-6)
            frequency = bag.count(word)
            score += idf * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * len(bag) / average))
        if any(word in bag for word in query):
            scores[id] = score
    return scores


def test_full_text_scores_are_bm25(filled):
    for query in (["anchor"], ["ship", "storm", "mast"], ["absent"]):
        (candidates,) = filled.candidates([" ".join(query)], np.zeros((1, 16), dtype=np.float32), 1000)
        found = {id: score for id, score in zip(candidates.ids, candidates.lexical, strict=True) if score}
        expected = bm25(filled, query)
        assert found.keys() == expected.keys()
        np.testing.assert_allclose([found[id] for id in expected], list(expected.values()), rtol=1e-9)


@pytest.mark.parametrize("weight", [0.0, 0.3, DEFAULT_DENSE_WEIGHT, 1.0])
def test_search_is_the_best_of_all_chunks_by_brute_force(filled, embedder, weight):
    ids, matrix = filled.matrix()
    queries = ["Where is the red anchor?", "storm sailor", "wind"]
    results = search(filled, embedder, queries, 7, weight)
    for query, passages in zip(queries, results, strict=True):
        lexical = bm25(filled, [word for word in query.lower().strip("?").split() if word in WORDS])
        cosine = matrix @ embedder.embed([query])[0]
        scores = {
            id: (1 - weight) * lexical.get(id, 0) / max(lexical.values())
            + weight * (cosine[row] + 1) / (cosine.max() + 1)
            for row, id in enumerate(ids.tolist())
        }
        best = sorted(scores.values(), reverse=True)[:7]
        np.testing.assert_allclose([passage.score for passage in passages], best, rtol=1e-5)
        chunks = {
            f"{chunk.document_id}#{chunk.position}": id for id, chunk in filled.chunks(ids.tolist()).items()
        }
        for passage in passages:
            assert scores[chunks[passage.chunk_id]] == pytest.approx(passage.score, rel=1e-5)
            document = filled.document(passage.document_id)
            assert document.text[passage.start : passage.end] == passage.text
            assert passage.title.startswith("About")


class Backwards:
    """Reads passages again and likes the worst best."""

    name = "backwards"

    def rerank(self, question, passages, k):
        return passages[::-1][:k]


def test_a_weight_is_read_again_by_the_reranker_that_is_named_with_it(filled, embedder, monkeypatch):
    opened = []
    monkeypatch.setattr(Reranker, "open", lambda name: opened.append(name) or Backwards())
    (best_first,) = search(filled, embedder, ["red ship"], DEPTH, 0.3)
    again = StoreRetriever(filled, embedder, 0.3, "backwards")
    for _ in range(2):
        (found,) = again.retrieve(["red ship"], 2)
        assert [each.chunk_id for each in found] == [each.chunk_id for each in best_first[::-1][:2]]
    assert opened == ["backwards"]  # once
    (plain,) = StoreRetriever(filled, embedder, 0.3).retrieve(["red ship"], 2)
    assert plain == best_first[:2]
    with pytest.raises(ValueError, match="give both"):
        StoreRetriever(filled, embedder, None, "backwards")


def test_chunks_are_no_longer_than_asked_for_and_cut_again_when_that_changes(store, make_documents, embedder):
    documents = make_documents(long=" ".join(WORDS * 3), short="red ship")

    def lengths(most):
        index_folder(store, documents, embedder, 15, most_tokens=most)
        texts = [each.text for document in documents for each in cut(document, embedder, 15, most)]
        assert len(texts) == store.count_chunks()
        return [embedder.count_tokens(text) for text in texts]

    assert max(lengths(40)) > 20 >= max(lengths(20))
    assert index_folder(store, documents, embedder, 15, most_tokens=20).unchanged == len(documents)


def test_a_batch_gives_what_single_questions_give(filled, embedder):
    queries = [f"{one} {two}" for one in WORDS for two in WORDS[:3]]
    together = StoreRetriever(filled, embedder).retrieve(queries, 3)
    for query, found in zip(queries, together, strict=True):
        (alone,) = search(filled, embedder, [query], 3)
        assert [passage.chunk_id for passage in found] == [passage.chunk_id for passage in alone]
        np.testing.assert_allclose([p.score for p in found], [p.score for p in alone], rtol=1e-5)
    assert [len(found) for found in search(filled, embedder, ["red"], 500)] == [60]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.one_of(
        st.text(),
        st.text(alphabet="\"'*^:()-+ ANDORNT{}\0"),
        st.lists(st.sampled_from(["NEAR(", '"', "title:", "the"])).map(" ".join),
    )
)
def test_no_question_breaks_the_search(filled, embedder, question):
    assert len(search(filled, embedder, [question], 3)[0]) == 3


def test_questions_of_stop_words_and_operators():
    assert full_text_expression('Where is the NOT-so-red "ship"?') == '"red" OR "ship"'
    assert full_text_expression("to be or not to be") == '"to" OR "be" OR "or" OR "not"'
    assert full_text_expression("?!… ") == ""


def test_stems_and_accents_match(store, embedder, make_documents):
    index_folder(store, make_documents(a="The sailors were sailing.", b="Ein Café."), embedder)
    assert [search(store, embedder, [query], 1, 0.0)[0][0].document_id for query in ("sails", "CAFE")] == [
        "a",
        "b",
    ]


def test_an_empty_store_finds_nothing(store, embedder, make_embedder, make_documents):
    assert search(store, embedder, ["a", "b"], 3) == [[], []]
    assert search(store, embedder, [], 3) == []
    index_folder(store, make_documents(a="one"), embedder)
    with pytest.raises(UsageError, match="another embedding model"):
        search(store, make_embedder("other"), ["a"], 3)


def test_the_weight_is_tuned_on_known_evidence(store, embedder, make_documents):
    """Documents that differ in one rare word: full text finds it, the hash vectors of long texts do not."""
    filler = " ".join(WORDS * 2)
    documents = make_documents(**{f"d{n}": f"{filler} rareword{n}" for n in range(30)})
    index_folder(store, documents, embedder)
    questions = [f"rareword{n} " + " ".join(WORDS) for n in range(30)]
    evidence = [{f"d{n}"} for n in range(30)]
    choice = tune_dense_weight(store, embedder, questions, evidence, k=1)
    assert choice.questions == 30 and choice.tried[0.0] == (1.0, 1.0) and choice.tried[1.0][0] < 1
    assert choice.tried[choice.dense_weight][0] >= 0.95
    unknown = tune_dense_weight(store, embedder, questions, [()] * 30, k=1)
    assert unknown.dense_weight == DEFAULT_DENSE_WEIGHT and unknown.questions == 0
