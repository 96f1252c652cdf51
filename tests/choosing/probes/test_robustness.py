"""Differences by typing mistakes and other words, and what a path admits not to know."""

from collections.abc import Callable
from typing import Any

import pytest

from sartor.choosing.probes.probed_path import ProbedPath
from sartor.choosing.probes.robustness import ROWS_AT_ONCE, probe_robustness
from sartor.data.records import Message, Row
from sartor.evaluation.statistics import paired_difference

NIL = "not in the book [NIL]"
Make = Callable[..., ProbedPath]


def rows_of(count: int, answer: str = "yes") -> list[Row]:
    question = "where does captain number {} moor every morning?"
    return [
        Row(f"r{n}", [Message(role="user", content=question.format(n))], (answer,), f"g{n}", ("a.md",))
        for n in range(count)
    ]


def brittle(prompt: str) -> str:
    """Right only for the very words of the question."""
    return "yes" if prompt.startswith("where does captain number") and prompt.endswith("moor every morning?") else "no"


def test_a_path_that_minds_no_words(probed: Make, scripted: Any) -> None:
    found = probe_robustness(probed(scripted(lambda prompt: "yes"), rows_of(20), "exact"), None, None)
    for form in ("typos", "paraphrases"):
        assert found[form]["n"] == 20 and found[form]["difference"] == 0.0
        assert found[form]["score"] == found[form]["plain_score"] == 1.0
        assert found[form]["ci"][0] < 0 < found[form]["ci"][1]


def test_a_brittle_path_and_its_interval(probed: Make, scripted: Any) -> None:
    found = probe_robustness(probed(scripted(brittle), rows_of(20), "exact"), None, None)
    scores = [row["typos"]["score"] for row in found["rows"]]
    wanted = paired_difference(scores, [1.0] * 20)
    assert found["typos"]["plain_score"] == 1.0 and found["typos"]["score"] == sum(scores) / 20 < 1.0
    assert found["typos"]["ci"] == [wanted.low, wanted.high]
    assert found["typos"]["difference"] == pytest.approx(wanted.difference)
    assert found["paraphrases"]["score"] == 0.0


def test_every_form_that_was_asked_is_kept(probed: Make, scripted: Any) -> None:
    model = scripted(lambda prompt: "yes")
    found = probe_robustness(probed(model, rows_of(5), "exact"), None, None)
    kept = {row[form]["question"] for row in found["rows"] for form in ("plain", "typos", "paraphrases")}
    assert kept == set(model.sent) and len(kept) == 15
    assert sum(found["paraphrases"]["rules"].values()) == 5


def test_the_tasks_own_paraphrases_come_alone(probed: Make, scripted: Any) -> None:
    found = probe_robustness(probed(scripted(lambda _: "yes"), rows_of(5), "exact"), {"r2": "captain 2 moors?"}, None)
    assert found["paraphrases"]["n"] == 1 and found["paraphrases"]["impossible"] == 4
    assert found["paraphrases"]["rules"] == {"the task's own": 1}


def test_rows_that_were_not_scored_are_counted(probed: Make, scripted: Any) -> None:
    rows = [Row("x", [Message(role="user", content="AB-1?")], ("yes",), "g"), *rows_of(1)]
    found = probe_robustness(probed(scripted(lambda _: "yes"), rows, "exact"), None, None)
    assert found["typos"]["n"] == 1 and found["typos"]["impossible"] == 1


def test_admitting_not_to_know(probed: Make, scripted: Any) -> None:
    unknown = [Row(f"u{n}", [Message(role="user", content=f"what of {n}?")], (NIL,), f"u{n}") for n in range(4)]
    path = probed(
        scripted(lambda prompt: NIL if "what of 1" in prompt or "number 2" in prompt else "x"), rows_of(6) + unknown
    )
    found = probe_robustness(path, None, NIL)["unanswerable"]
    assert found == {"n": 4, "abstained": 1, "phrase": NIL, "answerable": {"n": 6, "abstained": 1}}


def test_time_is_limited(probed: Make, scripted: Any) -> None:
    found = probe_robustness(probed(scripted(lambda _: "yes"), rows_of(30), "exact", seconds=0.0), None, None)
    assert found["typos"]["n"] == ROWS_AT_ONCE and found["left_out"] == {"no time for": 30 - ROWS_AT_ONCE}


def test_only_dev_rows_are_asked(probed: Make, scripted: Any) -> None:
    model = scripted(lambda _: "yes")
    probe_robustness(probed(model, rows_of(3), "exact"), None, None)
    assert len(model.sent) == 9
