"""Numbers read out of text, exactly or not at all; JSON values are tested through their scorer."""

from fractions import Fraction

import pytest

from sartor.data.values import last_number, unclear_number


@pytest.mark.parametrize(("text", "number"), [
    ("1,234,567.5 in all", 1234567.5), (".5", 0.5), ("-.5", -0.5), ("$ 12", 12), ("-$12", -12), ("$-12", -12),
    ("3-5", 5), ("- 5 apples", 5), ("from 1, 2 and 3", 3), ("1e3", 1000), ("2.5E-2", 0.025),
    ("H2O", None), ("1/0", None), ("7 and 1/0", 7), ("-1/2", -0.5), ("12/05/2024", 2024), ("42.", 42),
    ("5km", 5),
    ("9" * 400, None), ("1e9999", None), ("version v1.2.3", None), ("", None),
])
def test_last_number(text: str, number: float | None) -> None:
    found = last_number(text)
    assert (found if found is None else float(found)) == number


@pytest.mark.parametrize("text", [
    "1,234,567", "1 234 567", "1\u00a0234\u00a0567", "1\u202f234\u202f567", "1\u2009234\u2009567", "1'234'567",
    "1’234’567", "1_234_567", r"$1\,234\,567$", "1{,}234{,}567", "CHF 1'234'567.00", "in 2024 1 234 567 people",
    "12 34 1 234 567", "on 05-12 1234567",
])
def test_groups_of_three_digits_are_one_number(text: str) -> None:
    assert last_number(text) == 1_234_567


@pytest.mark.parametrize(("text", "number"), [
    ("in 2024 100 people", 100), ("10 20 30", 30), ("1000 2000", 2000), ("5 000 0001", 1), ("5'11", 11),
    ("1 3/4", 1.75), ("-1 1/2", -1.5), ("3 000/2", 1500), ("1/3 or 2", 2), ("2\n100", 100),
])
def test_what_is_no_group_stays_apart(text: str, number: float) -> None:
    assert last_number(text) == number and unclear_number(text) is None


@pytest.mark.parametrize("text", [
    "1.234.567", "3,14", "1.234,56", "1 234,56", "1,234,56", "1,00,000", "0,500", "1,2345", "12.05.2024", "7 or -1,2,3",
])
def test_what_can_be_read_in_several_ways_is_no_number(text: str) -> None:
    assert last_number(text) is None and unclear_number(text)


def test_numbers_are_exact() -> None:
    assert last_number("12345678901234567891") == 12345678901234567891
    assert last_number("it is 1/3") == Fraction(1, 3)
    assert last_number("7 or " + "9" * 5000) == 7  # beyond floating-point numbers
    assert last_number("7 or 0." + "3" * 5000) == Fraction(int("3" * 4000) * 10**1000 + int("3" * 1000), 10**5000)
