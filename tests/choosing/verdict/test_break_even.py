"""From how many questions on set-up pays, by hand."""

import pytest

from sartor.choosing.verdict.break_even import Costs, break_even, path_costs, setup_cost

PROMPT, RAG, FINETUNE = Costs("prompt", 0.0, 2.0), Costs("rag", 0.5, 3.0), Costs("finetune", 12.0, 1.0)


def test_volume_by_hand() -> None:
    """12 dollars more once, 1 dollar less for 1,000: 12,000 questions."""
    found = break_even([FINETUNE, PROMPT])
    assert found == [{
        "a": "prompt", "b": "finetune", "questions": 12_000,
        "sentence": "Fine-tuning pays against prompting from about 12,000 questions on: it costs $12.00 more to set up "
                    "and $1.00 less for 1,000 answers."}]  # fmt: skip


def test_at_the_volume_both_cost_the_same() -> None:
    a, b = Costs("prompt", 0.3, 0.0437), Costs("finetune", 4.1, 0.0119)
    number = break_even([a, b])[0]["questions"]
    totals = [each.setup + each.per_1k * number / 1000 for each in (a, b)]
    assert totals[0] == pytest.approx(totals[1], rel=1e-4)


def test_what_costs_more_in_both_never_pays() -> None:
    found = break_even([PROMPT, RAG])[0]
    assert (found["a"], found["b"], found["questions"]) == ("prompt", "rag", None)
    assert found["sentence"] == (
        "Retrieval never pays against prompting: it costs $0.50 more to set up, and no less for 1,000 answers."
    )


def test_all_pairs_of_paths_with_a_price() -> None:
    facts = {
        "prompt": {"setup_seconds": 36.0, "cost_per_1k": 2.0},
        "api": {"setup_seconds": 0.0, "setup_paid": 0.25, "cost_per_1k": 5.0},
        "unpriced": {"setup_seconds": 0.0, "cost_per_1k": None},
    }
    assert setup_cost(facts["prompt"], 0.5) == pytest.approx(0.005)
    costs = path_costs(facts, 0.5, ["prompt", "api", "unpriced"])
    assert [(each.name, each.setup) for each in costs] == [("prompt", pytest.approx(0.005)), ("api", 0.25)]
    assert len(break_even([PROMPT, RAG, FINETUNE])) == 3


def test_same_costs_are_told_plainly() -> None:
    found = break_even([Costs("prompt", 0.0, 1.0), Costs("rag", 0.0, 1.0)])[0]
    assert found["questions"] is None
    assert found["sentence"] == "Prompting and retrieval cost the same at every number of questions."
    cheaper = break_even([Costs("prompt", 0.0, 1.0), Costs("rag", 0.0, 0.5)])[0]
    assert cheaper["sentence"] == (
        "Prompting never pays against retrieval: it costs as much to set up, and more for 1,000 answers."
    )
