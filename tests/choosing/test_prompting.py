"""Examples, labels and the choice among settings."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sartor.choosing.budget import Share
from sartor.choosing.prompting import best_candidate, dev_score, label_list, pick_examples, prompt_candidates
from sartor.data.records import Conversation, Message, Row
from sartor.generation.protocol import Reply, Sampling


def rows_of(answers: Sequence[str]) -> list[Row]:
    return [Row(str(n), [Message(role="user", content=f"q{n}")], (a,), str(n)) for n, a in enumerate(answers)]


@given(st.lists(st.sampled_from("abcde"), max_size=30), st.integers(0, 12), st.integers(0, 5))
def test_examples_have_distinct_answers_first_and_are_the_same_for_the_same_seed(
    answers: list[str], number: int, seed: int
) -> None:
    rows = rows_of(answers)
    examples = pick_examples(rows, number, seed)
    assert examples == pick_examples(rows, number, seed)
    assert len(examples) == min(number, len(rows)) == len(set(examples))
    assert set(examples) <= {(row.question, row.answers[0]) for row in rows}
    distinct = min(number, len(set(answers)))
    assert len({answer for _, answer in examples[:distinct]}) == distinct
    assert examples == pick_examples(rows, number + 1, seed)[: len(examples)]  # fewer examples are the first of more


def test_other_seeds_give_other_examples_and_dialogues_are_no_examples(row: Callable[..., Row]) -> None:
    rows = rows_of([str(n) for n in range(30)])
    assert len({pick_examples(rows, 4, seed) for seed in range(5)}) > 1
    assert pick_examples([row(0, "how?", "so", turns=2)], 4, 0) == ()


def test_labels_are_listed_where_answers_come_from_a_short_list(brief: Callable[..., Any]) -> None:
    rows = rows_of(["yes", "no", "no"] * 4)
    assert label_list(brief(rows)) == ["no", "yes"]
    assert label_list(brief(rows, by="contains")) == []
    assert label_list(brief(rows_of([str(n) for n in range(12)]))) == []  # every answer its own
    assert label_list(brief(rows_of(["yes"] * 12))) == []


def test_no_setting_is_offered_twice(brief: Callable[..., Any], row: Callable[..., Row]) -> None:
    many = prompt_candidates(brief(rows_of(["yes", "no"] * 10)), 0)
    assert [len(each.examples) for each in many] == [0, 4, 12, 0, 4]
    assert many[3].instruction == "Answer.\nPossible answers: no, yes"
    few = prompt_candidates(brief(rows_of(["a", "b"]), by="f1"), 0)
    assert [each.setting for each in few] == ["instruction, 0 examples", "instruction, 2 examples"]
    assert len(prompt_candidates(brief([row(0, "how?", "so", turns=2)], by="f1"), 0)) == 1


def test_the_first_of_the_best_wins_and_what_was_tried_is_told() -> None:
    scores = {"a": 0.2, "b": 0.7, "c": 0.7, "d": 0.1}
    chosen, tried = best_candidate(list(scores), scores.__getitem__, str.upper, Share(1000))
    assert chosen == "b"
    assert [(each.setting, each.dev_score, each.chosen) for each in tried] == [
        ("A", 0.2, False), ("B", 0.7, True), ("C", 0.7, False), ("D", 0.1, False)
    ]  # fmt: skip


def test_a_spent_share_ends_the_search_after_one_try() -> None:
    asked: list[str] = []

    def score(name: str) -> float:
        asked.append(name)
        return 0.0

    chosen, tried = best_candidate(["a", "b"], score, str, Share(1.0, before=2.0))
    assert (chosen, asked, len(tried)) == ("a", ["a"], 1)


class Refusing:
    """Answers `yes`, and not at all where the question holds `long`."""

    def generate(self, conversations: Sequence[Conversation], sampling: Sampling, on_reply: Any = None) -> list[Reply]:
        long = ["long" in conversation[-1]["content"] for conversation in conversations]
        return [Reply("", "error", error="too long") if refused else Reply("yes", "stop") for refused in long]


def test_a_row_without_an_answer_counts_as_wrong_on_dev(brief: Callable[..., Any], row: Callable[..., Row]) -> None:
    dev = [row(0, "short", "yes"), row(1, "long", "yes"), row(2, "long too", "yes"), row(3, "brief", "no")]
    assert dev_score(brief(dev, dev), Refusing(), "try") == 0.25
    assert dev_score(brief(dev, dev), Refusing(), "try", num_rows=1) == 1.0
