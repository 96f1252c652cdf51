"""Which settings a retrieval path tries, step by step, and which one it takes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sartor.choosing.fitting.budget import Share
from sartor.choosing.fitting.halving import Trials
from sartor.choosing.prompted.prompting import Prompt
from sartor.choosing.retrieved.library import Library, Search
from sartor.choosing.retrieved.retrieving import Retrieval, choose_retrieval, numbers_to_try, variants
from sartor.retrieval.fusion import Ranking

PLAIN = Prompt("Answer.", (), "instruction, 0 examples")
SHOWN = Prompt("Answer.", (("q", "a"),), "as prompting chose")
USUAL = Search()


def library(found: dict[int, float], *searches: Search) -> Library:
    return Library(Path("k"), searches or (USUAL,), 1, 1, 0.0, found)


def trials(worth: Callable[[Retrieval], float]) -> Trials[Retrieval]:
    return Trials(lambda retrieval, first, last: [worth(retrieval)] * (last - first), 32)


def test_no_more_passages_are_tried_than_find_nearly_all_that_can_be_found() -> None:
    assert numbers_to_try(library({1: 0.1, 2: 0.9, 3: 0.9, 5: 0.91}), USUAL) == [1, 2]
    assert numbers_to_try(library({}), USUAL) == [1, 2, 3, 5]


@pytest.mark.parametrize("best", [SHOWN, Prompt("Answer: a, b.", (), "as prompting chose")])
def test_what_prompting_chose_is_tried_with_passages_whenever_it_differs(best: Prompt) -> None:
    chosen = Retrieval(USUAL, 3, PLAIN)
    assert variants(chosen, best) == [
        chosen,
        Retrieval(USUAL, 3, PLAIN, best_last=True),
        Retrieval(USUAL, 1, best),
        Retrieval(USUAL, 3, best),
    ]
    assert variants(Retrieval(USUAL, 1, PLAIN), Prompt("Answer.", (), "as prompting chose")) == [
        Retrieval(USUAL, 1, PLAIN)
    ]


def test_the_best_number_and_then_the_best_order_and_prompt_are_taken() -> None:
    def worth(retrieval: Retrieval) -> float:
        return 0.2 * (retrieval.passages == 2) + 0.3 * retrieval.best_last + 0.1 * (retrieval.prompt == SHOWN)

    asked = trials(worth)
    chosen = choose_retrieval(library({1: 0.5, 2: 0.7, 3: 0.8, 5: 0.9}), PLAIN, SHOWN, asked, Share(99))
    assert chosen == Retrieval(USUAL, 2, PLAIN, best_last=True)
    assert {each.passages for each in asked.scores} == {1, 2, 3, 5}
    assert len(asked.scores) == 7  # four numbers, the other order, the other prompt with one passage and with two


def test_as_good_is_not_better_so_the_shortest_prompt_is_taken() -> None:
    chosen = choose_retrieval(library({}), PLAIN, SHOWN, trials(lambda retrieval: 0.5), Share(99))
    assert chosen == Retrieval(USUAL, 1, PLAIN)


def test_without_evidence_the_search_is_chosen_by_the_answers() -> None:
    words, small = Search(200, Ranking.of_weight(0.0)), Search(100)
    asked = trials(lambda retrieval: 0.6 * (retrieval.search == small) + 0.01 * retrieval.passages)
    chosen = choose_retrieval(library({}, USUAL, words, small), PLAIN, PLAIN, asked, Share(99))
    assert chosen.search == small and chosen.passages == 10
    assert {each.search for each in asked.scores} == {USUAL, words, small}


def test_something_is_chosen_when_there_is_no_time() -> None:
    asked = trials(lambda retrieval: 0.5)
    chosen = choose_retrieval(library({}, USUAL, Search(100)), PLAIN, SHOWN, asked, Share(0.0))
    assert chosen in asked.scores and chosen.search == USUAL
