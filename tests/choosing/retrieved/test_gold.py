"""Which passages hold an answer."""

from collections.abc import Callable
from typing import Any

import pytest

from sartor.choosing.retrieved.gold import found_gold, gold_passages, holds
from sartor.generation.protocol import Passage


@pytest.mark.parametrize(
    ("text", "answers", "expected"),
    [
        ("The ship lies in the North Harbour.", ["north harbour"], True),
        ("The ship lies in the  North\nHarbour", ["north harbour!"], True),
        ("northern harbours", ["north"], False),  # whole words only
        ("built in 1960", ["1960"], True),
        ("built in 19601", ["1960"], False),
        ("anything", ["", " "], False),  # an empty answer is in every text, and says nothing
        ("second alias", ["first", "second"], True),
    ],
)
def test_an_answer_is_held_as_whole_words(text: str, answers: list[str], expected: bool) -> None:
    assert holds(text, answers) is expected


def pieces(document: str, *texts: str) -> list[Passage]:
    return [Passage(f"{document}#{place}", document, text, 1.0) for place, text in enumerate(texts)]


DOCUMENTS = {"a": pieces("a", "the red ship", "moors in the north"), "b": pieces("b", "moors in the north too")}


def gold_ids(row: Any) -> list[str]:
    return [passage.chunk_id for passage in gold_passages(row, lambda document: DOCUMENTS.get(document, []))]


def test_gold_are_the_passages_of_the_evidence_that_hold_the_answer(row: Callable[..., Any]) -> None:
    assert gold_ids(row(0, "where", "north", ["a"])) == ["a#1"]
    assert gold_ids(row(0, "where", "north", ["a", "b", "a"])) == ["a#1", "b#0"]


def test_all_passages_of_the_evidence_are_gold_where_none_has_the_answer_in_its_words(row: Callable[..., Any]) -> None:
    assert gold_ids(row(0, "where", "up there", ["a"])) == ["a#0", "a#1"]
    assert gold_ids(row(0, "where", "up there", ["gone"])) == [] == gold_ids(row(0, "where", "north"))


def test_recorded_passages_hold_gold_only_of_the_evidence() -> None:
    passages = [{"document_id": "b", "text": "north"}, {"document_id": "a", "text": "red ship"}]
    assert not found_gold(passages, ["a"], ["north"], word_for_word=True)
    assert found_gold(passages, ["a"], ["north"], word_for_word=False)
    assert found_gold(passages, ["b"], ["north"], word_for_word=True)
    assert not found_gold([], ["a"], ["north"], word_for_word=False)
