"""Where wrong answers come from, from what was recorded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sartor.choosing.retrieved.diagnosis import diagnose

Answer = dict[str, Any]


def answer(score: float | None, *passages: tuple[str, str]) -> Answer:
    return {"score": score, "passages": [{"document_id": id, "text": text} for id, text in passages]}


GOLD, OTHER, HALF = ("a", "it lies north"), ("b", "it lies north"), ("a", "it lies somewhere")


@pytest.fixture
def asked(brief: Callable[..., Any], row: Callable[..., Any]) -> Callable[..., Any]:
    """A brief with `number` test rows whose answer stands in document a; the last `unknown` name no evidence."""

    def make(number: int, unknown: int = 0) -> Any:
        rows = tuple(row(n, f"q{n}", "north", ["a"] if n < number - unknown else []) for n in range(number))
        made = brief(rows)
        return replace(made, test=rows, task=replace(made.task, documents=Path("documents")))

    return make


def test_every_row_has_one_cause(asked: Callable[..., Any]) -> None:
    rag = [answer(1.0, GOLD), answer(0.0, GOLD), answer(0.2, OTHER), answer(0.0, HALF), answer(0.0), answer(0.5, OTHER)]
    rag += [answer(None, GOLD), answer(0.0, GOLD)]
    found = diagnose({"rag": rag, "prompt": [answer(0.0)] * 7 + [answer(1.0)]}, asked(8, unknown=1))
    counts = found["rag"]
    # right: the first, and the sixth, though nothing was found; missed: the third and the fifth
    assert {key: counts[key] for key in ("right", "not_retrieved", "not_used", "not_known")} == {
        "right": 2, "not_retrieved": 2, "not_used": 2, "not_known": 0,
    }  # fmt: skip
    assert (counts["n"], counts["unscored"], counts["without_evidence"]) == (6, 1, 1)
    assert found["prompt"]["n"] == 8 and found["prompt"]["not_known"] == 7 and found["prompt"]["right"] == 1
    for each in found.values():
        assert each["right"] + each["not_retrieved"] + each["not_used"] + each["not_known"] == each["n"]
        for cause, (low, high) in each["ci"].items():
            assert 0 <= low <= each[cause] / each["n"] <= high <= 1
    assert "not_used_oracle_right" not in counts  # there is no oracle


def test_a_passage_of_the_evidence_counts_where_no_answer_stands_word_for_word(asked: Callable[..., Any]) -> None:
    assert diagnose({"rag": [answer(0.0, HALF)]}, asked(1))["rag"]["not_used"] == 1
    both = {"rag": [answer(0.0, HALF)], "oracle": [answer(0.0, GOLD)]}  # the oracle shows that one does
    assert diagnose(both, asked(1))["rag"]["not_retrieved"] == 1


def test_documents_that_are_read_whole_are_always_there(asked: Callable[..., Any]) -> None:
    found = diagnose({"long-context": [answer(0.0), answer(1.0)]}, asked(2))["long-context"]
    assert (found["not_used"], found["not_known"], found["right"]) == (1, 0, 1)


def test_nothing_is_told_without_documents(asked: Callable[..., Any]) -> None:
    made = asked(1)
    assert diagnose({"prompt": [answer(0.0)]}, replace(made, task=replace(made.task, documents=None))) == {}
    assert "rag" not in diagnose({"rag": [answer(0.0, GOLD)]}, asked(1, unknown=1))  # and none with evidence


@pytest.mark.parametrize(
    ("missed", "unused", "oracle", "expected"),
    [
        (40, 5, 1.0, "Given the passage, the model answers 40 of those 40: search better"),
        (40, 5, 0.0, "the model answers only 0 of those 40: a better search alone helps little"),
        (5, 40, 1.0, "With nothing but that passage the model answers 40 of those 40: the others distract it."),
        (5, 40, 0.0, "Even with nothing but that passage the model answers only 0 of those 40: fine-tune it"),
        (40, 5, None, "A better search may help"),
        (5, 40, None, "The model does not use what it reads: fine-tune it on passages"),
        (10, 10, 1.0, "Which is the main cause cannot be told."),
        (10, 0, 1.0, "all since no passage that holds the answer was found"),
        (0, 10, 1.0, "all with the passage that holds the answer in front of the model"),
        (0, 0, 1.0, "none of 3 answers is wrong"),
    ],
)
def test_the_sentence_names_the_main_cause_and_what_to_do(
    asked: Callable[..., Any], missed: int, unused: int, oracle: float | None, expected: str
) -> None:
    rag = [answer(0.0, OTHER)] * missed + [answer(0.0, GOLD)] * unused + [answer(1.0, GOLD)] * 3
    given = {"rag": rag} if oracle is None else {"rag": rag, "oracle": [answer(oracle, GOLD)] * len(rag)}
    counts = diagnose(given, asked(len(rag)))["rag"]
    assert expected in counts["sentence"]
    if oracle is not None:
        assert counts["not_retrieved_oracle_right"] == missed * oracle
        assert counts["not_used_oracle_right"] == unused * oracle


def test_a_trained_reader_is_not_told_to_be_trained_but_to_see_more(asked: Callable[..., Any]) -> None:
    sentence = diagnose({"finetune+rag": [answer(0.0, GOLD)] * 3}, asked(3))["finetune+rag"]["sentence"]
    assert "train it on more rows" in sentence
    closed = diagnose({"closed-book": [answer(0.0)]}, asked(1))["closed-book"]["sentence"]
    assert "what retrieval is worth begins there" in closed
