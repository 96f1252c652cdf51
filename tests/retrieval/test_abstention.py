"""Support: it grows with nearness and coverage, and the levels keep their order."""

import numpy as np
import pytest

from sartor.generation.protocol import Passage
from sartor.retrieval.abstention import LEVELS, features, support


def passages(*texts: str) -> list[Passage]:
    return [Passage(f"d#{n}", "d", text, 1.0, title="") for n, text in enumerate(texts)]


def test_features_are_the_nearest_sentence_and_the_share_of_words(embedder):
    question = "red ships sail"
    found = passages("Green tea. Red ships sail slowly.", "red harbour")
    nearness, coverage = features(question, found, embedder)
    (asked,) = embedder.embed([question])
    assert nearness == pytest.approx(
        float((embedder.embed(["Green tea.", "Red ships sail slowly.", "red harbour"]) @ asked).max())
    )
    assert coverage == 1.0 and features(question, passages("red"), embedder)[1] == pytest.approx(1 / 3)


def test_more_is_found_more_is_supported(embedder):
    texts = ["Green tea is hot.", "Red tea.", "Red ships.", "Red ships sail."]
    values = [support("red ships sail", passages(text), embedder) for text in texts]
    assert values == sorted(values) and values[0] < values[-1]
    assert support("red", [], embedder) < min(values)


def test_a_question_without_words_and_a_passage_without_sentences(embedder):
    assert np.isfinite(support("?", passages("Red."), embedder))
    assert support("red", passages(" \n "), embedder) == support("red", [], embedder)


def test_levels():
    assert LEVELS["never"] == float("-inf") < LEVELS["usual"] < LEVELS["strict"]
