"""Kinds of answers, and others of the same kind in their place."""

import random

import pytest

from sartor.choosing.probes.replacements import Fact, core_of, kind_of, replacement, stands_in


def other(
    core: str, *donors: str, question: str = "Who is it?", asked: str = "Who was it?", avoid: str = ""
) -> str | None:
    facts = [Fact(asked, donor) for donor in donors]
    return replacement(Fact(question, core), facts, avoid, random.Random(0))


@pytest.mark.parametrize(
    ("core", "form"),
    [
        ("nineteen hours", "number in words"),
        ("forty-eight hours' notice", "number in words"),
        ("£17.40", "decimal number"),
        ("at 05:30", "time"),
        ("in 1969", "year"),
        ("35 per cent", "number"),
        ("2,400", "number"),
        ("the Lisbon Treaty", "name"),
        ("Form C2", "name"),
        ("the after spring", None),
        ("two or three days", None),  # two numbers: which one is the fact?
        ("Dublin, Cork and Youghal", None),
        ("I am not fit for this", None),
        ("", None),
    ],
)
def test_kind(core: str, form: str | None) -> None:
    kind = kind_of(core)
    assert (kind and kind.form) == form


def test_only_the_number_is_exchanged() -> None:
    assert other("within five working days", "eleven tonnes") == "within eleven working days"
    assert other("£8", "25 per cent") == "£25"
    assert other("at 05:30", "10:40") == "at 10:40"


def test_numbers_keep_their_form() -> None:
    assert other("five days", "7 days", "19:30", "1969", "4.5") is None


def test_names_come_from_questions_that_ask_alike() -> None:
    assert other("Iver Dunmore", "Anna Reed") == "Anna Reed"
    assert other("Iver Dunmore", "Mill Dock", asked="Where is it?") is None
    assert other("the Charles River", "the Thames River", question="What is it?", asked="Where?") == "the Thames River"
    assert other("Epte", "Seine", question="What river is it?", asked="Which river was it?") == "Seine"
    assert other("Epte", "Oslo", question="What river is it?", asked="Which town was it?") is None


def test_a_replacement_is_new_to_its_document() -> None:
    assert other("five days", "six", avoid="It takes six days.") is None
    assert other("five days", "five") is None


def test_same_seed_same_answer() -> None:
    donors = [f"{number} days" for number in range(3, 60)]
    assert {other("70 days", *donors) for _ in range(5)} == {other("70 days", *donors)}


def test_marks_are_no_part_of_the_fact() -> None:
    assert core_of("£17.40 [PY-1]") == "£17.40"
    assert core_of("[NIL]") == "[NIL]"


def test_whole_words_only() -> None:
    assert stands_in("five days", "It takes Five\n  days.")
    assert not stands_in("5", "5.3 or 15 or 5,000")
    assert stands_in("£8", "It costs £8.")
    assert not stands_in("£8", "It costs £85.")
