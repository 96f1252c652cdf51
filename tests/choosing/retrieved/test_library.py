"""Ways to search, how much of their passages is read, and how a path's configuration names them."""

from pathlib import Path

import pytest

from sartor.choosing.retrieved.library import Library, Search
from sartor.retrieval.fusion import Ranking

USUAL = Search()


def library(found: dict[int, float], search: Search = USUAL) -> Library:
    return Library(Path("k"), (search,), 1, 1, 0.0, found)


@pytest.mark.parametrize(
    ("found", "enough"),
    [
        ({}, 3),
        ({1: 0.9, 2: 0.9, 3: 0.9, 5: 0.9}, 1),
        ({1: 0.5, 2: 0.89, 3: 0.91, 5: 0.915}, 2),
        ({1: 0.5, 2: 0.6, 3: 0.7, 5: 0.8}, 5),
        ({1: 0.0, 2: 0.0, 3: 0.0, 5: 0.0}, 1),
    ],
)
def test_enough_is_the_fewest_that_find_nearly_as_much_as_the_most(found: dict[int, float], enough: int) -> None:
    assert library(found).enough_passages == enough


def test_smaller_passages_are_read_in_greater_number() -> None:
    assert Search(200).numbers == (1, 2, 3, 5)
    assert Search(100).numbers == (1, 2, 4, 6, 10)
    assert library({}, Search(100)).enough_passages == 6


@pytest.mark.parametrize("size", [200, 100])
@pytest.mark.parametrize("ranking", [Ranking("bm25", 0.0), Ranking("dense", 1.0), Ranking("fused", 0.6, "some/reader")])
def test_a_search_is_the_same_after_a_path_has_named_it(size: int, ranking: Ranking) -> None:
    search = Search(size, ranking)
    knowledge = search.knowledge(2, best_last=True)
    assert Search.of(knowledge) == search and (knowledge.passages, knowledge.best_last) == (2, True)


def test_each_size_has_a_file_of_its_own() -> None:
    assert Search(200).file == "knowledge.sqlite" != Search(100).file
