"""How many passages are enough, and which settings retrieval tries."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sartor.choosing import retrieving
from sartor.choosing.budget import Share
from sartor.choosing.prompting import Prompt
from sartor.choosing.retrieving import Library, Retrieval, enough_passages, fit_retrieval, recalls
from sartor.generation.local import LocalModel


def library(found: dict[int, float], retriever: Any = None) -> Library:
    return Library(Path("k"), retriever, 1, 1, 0.0, found, [])


def test_recalls_count_questions_with_an_evidence_document_among_the_first(finding: Any) -> None:
    retriever = finding(
        {"p": ["a", "b", "c", "d", "e"], "q": ["b", "a", "c", "d", "e"], "r": ["c", "d", "e", "a", "a"]}
    )
    wanted = [{"a"}, {"a", "x"}, {"b"}]
    assert recalls(retriever, ["p", "q", "r"], wanted) == {1: 1 / 3, 2: 2 / 3, 3: 2 / 3, 5: 2 / 3}
    assert recalls(retriever, [], []) == {}


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
    assert enough_passages(library(found)) == enough


PLAIN = Prompt("Answer.", (), "instruction, 0 examples")


@pytest.mark.parametrize(
    ("best", "settings"),
    [
        (Prompt("Answer.", (), "as prompting chose"), {(2, PLAIN), (1, PLAIN)}),
        (
            best := Prompt("Answer.", (("q", "a"),), "as prompting chose"),
            {(2, PLAIN), (1, PLAIN), (1, best), (2, best)},
        ),
        (
            listing := Prompt("Answer: a, b.", (), "as prompting chose"),
            {(2, PLAIN), (1, PLAIN), (1, listing), (2, listing)},
        ),
    ],
)
def test_what_prompting_chose_is_tried_with_passages_whenever_it_differs_from_the_instruction(
    monkeypatch: pytest.MonkeyPatch, brief: Callable[..., Any], row: Callable[..., Any], finding: Any,
    best: Prompt, settings: set[tuple[int, Prompt]],
) -> None:  # fmt: skip
    monkeypatch.setattr(retrieving, "dev_score", lambda brief, generator, label, rows: 0.5)
    rows = [row(0, "q", "a")]
    chosen, tried = fit_retrieval(
        brief(rows, rows),
        LocalModel.__new__(LocalModel),  # never asked
        library({1: 0.1, 2: 0.9, 3: 0.9, 5: 0.9}, finding({"q": ["a"]})),
        PLAIN,
        best,
        Share(99),
        "rag",
    )
    assert {each.setting for each in tried} == {Retrieval(*each).setting for each in settings}
    assert len(tried) == len(settings)
    assert chosen == Retrieval(2, PLAIN)
