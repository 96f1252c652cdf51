"""Examples, labels and the choice among settings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.choosing.fitting.budget import Share
from sartor.choosing.prompted.prompting import (
    Prompt,
    dev_rows,
    dev_scores,
    fit_prompt,
    instruction_candidates,
    label_list,
    pick_examples,
    prompt_candidates,
    prompt_trials,
)
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


def test_no_setting_is_offered_twice_and_the_shortest_comes_first(
    brief: Callable[..., Any], row: Callable[..., Row]
) -> None:
    many = prompt_candidates(brief(rows_of(["yes", "no"] * 10)), 0)
    assert [(len(each.examples), "Possible" in each.instruction) for each in many] == [
        (0, False), (4, False), (0, True), (4, True), (12, False)
    ]  # fmt: skip
    assert many[2].instruction == "Answer.\nPossible answers: no, yes"
    few = prompt_candidates(brief(rows_of(["a", "b"]), by="f1"), 0)
    assert [each.setting for each in few] == ["instruction, 0 examples", "instruction, 2 examples"]
    assert len(prompt_candidates(brief([row(0, "how?", "so", turns=2)], by="f1"), 0)) == 1


class Nearest:
    """Stands for similar examples: every question is shown its own answer, as a very near row would."""

    def __init__(self, number: int):
        self.number = number

    def examples_for(self, conversation: Conversation) -> tuple[tuple[str, str], ...]:
        return ((conversation[-1]["content"], conversation[-1]["content"].replace("q", "a")),) * self.number


def similar(number: int) -> Any:
    return Nearest(number)


def test_similar_examples_are_offered_up_to_the_rows_there_are(brief: Callable[..., Any]) -> None:
    def numbers(rows: int) -> list[int]:
        found = prompt_candidates(brief(rows_of([str(n) for n in range(rows)]), by="f1"), 0, similar)
        return [each.similar.number for each in found if each.similar is not None]

    assert numbers(20) == [1, 2, 4, 8, 16]
    assert numbers(5) == [1, 2, 4]


def test_written_instructions_stand_before_the_examples_that_won_and_alone(brief: Callable[..., Any]) -> None:
    given = brief(rows_of(["yes", "no"] * 10))
    manner = Prompt("Answer.", (), "instruction, the 2 most similar examples", similar(2))
    found = instruction_candidates(given, manner, ["Be quick."])
    assert {(each.instruction, each.similar is manner.similar) for each in found} == {
        ("Answer.", True), ("Answer.\nPossible answers: no, yes", True), ("Be quick.", True), ("Be quick.", False)
    }  # fmt: skip
    assert found[0].setting == "written instruction 1, 0 examples"  # the shortest
    assert len({each.setting for each in found}) == 4
    alone = Prompt("Answer.", (), "instruction, 0 examples")
    assert [each.instruction for each in instruction_candidates(given, alone, [])][0] == "Answer."


class Pupil:
    """Answers right where its instruction says `magic`, or where the question itself was shown with its answer; the
    instructions that it writes are `written`."""

    def __init__(self, *written: str):
        self.written = [Reply(text, "stop") for text in written]
        self.asked: list[Conversation] = []

    def generate(self, conversations: Sequence[Conversation], sampling: Sampling, on_reply: Any = None) -> list[Reply]:
        if sampling.temperature > 0:
            return self.written[: len(conversations)]
        self.asked += conversations
        return [Reply(self.answer(each), "stop", messages=each) for each in conversations]

    def answer(self, conversation: Conversation) -> str:
        system, question = conversation[0]["content"], conversation[-1]["content"]
        shown = any(turn["content"] == question for turn in conversation[:-1])
        return question.replace("q", "a") if "magic" in system or shown else "wrong"


@pytest.fixture
def shop(brief: Callable[..., Any]) -> Callable[..., Any]:
    """What `fit_prompt` needs of a workshop, over 40 train and 40 dev rows of which row N is answered `aN`."""

    def make(model: Any, similar: Any = lambda number: None) -> Any:
        train = [replace(row, answers=(f"t{row.id}",)) for row in rows_of(["x"] * 40)]
        dev = [
            Row(f"d{n}", [Message(role="user", content=f"q{n + 100}")], (f"a{n + 100}",), f"dg{n}") for n in range(40)
        ]
        return SimpleNamespace(
            brief=brief(train, dev),
            config=SimpleNamespace(seed=0),
            similar=similar,
            model=lambda name: model,
            prompt_settings=lambda prompt: {"prompt": prompt},
            path_config=lambda name, **settings: settings,
        )

    return make


def test_bad_written_instructions_are_thrown_out_and_a_good_one_wins(shop: Any, tmp_path: Path) -> None:
    pupil = Pupil("Sing.", "Use magic.", "Dance.", "Sleep.")
    path, tried = fit_prompt(shop(pupil), "prompt", tmp_path, Share(1000))
    assert path["prompt"].instruction == "Use magic." and path["prompt"].examples == ()
    (chosen,) = [each for each in tried if each.chosen]
    assert (chosen.setting, chosen.dev_score) == ("written instruction 2, 0 examples", 1.0)
    assert {each.setting for each in tried} >= {"instruction, 0 examples", "written instruction 1, 0 examples"}
    assert all(each.rows in (16, 32, 40) for each in tried)
    rows = [tuple((turn["role"], turn["content"]) for turn in each) for each in pupil.asked]
    assert len(rows) == len(set(rows)), "no setting is asked the same twice"
    assert sum(each.rows or 0 for each in tried) == len(rows), "every question asked is counted"


def test_what_won_before_is_not_lost_to_a_lucky_beginning(shop: Any, tmp_path: Path) -> None:
    class Lucky(Pupil):
        """Knows all but the first dev rows behind the plain instruction, and only those behind the written ones."""

        def answer(self, conversation: Conversation) -> str:
            question = conversation[-1]["content"]
            plain = len(conversation) == 2 and conversation[0]["content"] == "Answer."
            written = len(conversation) == 2 and conversation[0]["content"].startswith("Luck")
            right = (plain and question not in first) or (written and question in first)
            return question.replace("q", "a") if right else "wrong"

    given = shop(Lucky(*(f"Luck and a long sentence more, {n}." for n in range(4))))
    first = [row.question for row in dev_rows(given.brief, 0)[:12]]
    path, tried = fit_prompt(given, "prompt", tmp_path, Share(1000))
    assert path["prompt"].instruction == "Answer."
    scores = {each.setting: each.dev_score for each in tried}
    assert (scores["instruction, 0 examples"], scores["written instruction 1, 0 examples"]) == (20 / 32, 12 / 40)


def test_similar_examples_win_where_they_help_and_the_fewest_of_equally_good_ones(shop: Any, tmp_path: Path) -> None:
    path, tried = fit_prompt(shop(Pupil("Sing."), similar), "prompt", tmp_path, Share(1000))
    assert path["prompt"].similar.number == 1 and path["prompt"].instruction in ("Answer.", "Sing.")
    assert {each.setting for each in tried} >= {"instruction, the 16 most similar examples"}


def test_where_everything_ties_the_shortest_prompt_wins(shop: Any, tmp_path: Path) -> None:
    path, _ = fit_prompt(shop(Pupil("Sing a very long song.")), "prompt", tmp_path, Share(1000))
    assert (path["prompt"].instruction, path["prompt"].examples) == ("Answer.", ())


def test_without_time_one_setting_is_asked_and_nothing_is_written(shop: Any, tmp_path: Path) -> None:
    pupil = Pupil("Use magic.")
    path, tried = fit_prompt(shop(pupil), "prompt", tmp_path, Share(1.0, before=2.0))
    assert [each.setting for each in tried] == ["instruction, 0 examples"] and tried[0].chosen
    assert len(pupil.asked) == 16 and not list(tmp_path.iterdir())
    assert path["prompt"].setting == "instruction, 0 examples"


def test_rows_are_asked_in_an_order_that_a_sorted_file_does_not_set(brief: Callable[..., Any]) -> None:
    rows = rows_of(["x"] * 40)
    asked = [Pupil(), Pupil(), Pupil()]
    for pupil, seed in zip(asked, (0, 0, 1), strict=True):
        prompt_trials(brief(rows, rows), pupil, "prompt", seed).score(Prompt("Answer.", (), "s"), 0, 16)
    first, again, other = ([each[-1]["content"] for each in pupil.asked] for pupil in asked)
    assert first == again != other and first != [f"q{n}" for n in range(16)]


class Refusing:
    """Answers `yes`, and not at all where the question holds `long`."""

    def generate(self, conversations: Sequence[Conversation], sampling: Sampling, on_reply: Any = None) -> list[Reply]:
        long = ["long" in conversation[-1]["content"] for conversation in conversations]
        return [Reply("", "error", error="too long") if refused else Reply("yes", "stop") for refused in long]


def test_a_row_without_an_answer_counts_as_wrong_on_dev(
    brief: Callable[..., Any], row: Callable[..., Row], capsys: pytest.CaptureFixture[str]
) -> None:
    dev = [row(0, "short", "yes"), row(1, "long", "yes"), row(2, "long too", "yes"), row(3, "brief", "no")]
    assert dev_scores(brief(dev, dev), Refusing(), dev, "try") == [1.0, 0.0, 0.0, 0.0]
    assert "try: 0.250 on 4 dev rows, 2 without an answer (too long)" in capsys.readouterr().err
