"""Numbers read out of text; JSON values are tested through their scorer."""

import pytest

from sartor.data.values import last_number


@pytest.mark.parametrize(("text", "number"), [
    ("1,234,567.5 in all", 1234567.5), (".5", 0.5), ("-.5", -0.5), ("$ 12", 12), ("-$12", -12), ("$-12", -12),
    ("3-5", 5), ("- 5 apples", 5), ("from 1, 2 and 3", 3), ("1,23", 23), ("1e3", 1000), ("2.5E-2", 0.025),
    ("H2O", None), ("1/0", None), ("7 and 1/0", 7), ("-1/2", -0.5), ("12/05/2024", 2024), ("42.", 42),
    ("5km", 5),
    ("9" * 400, None), ("1e9999", None), ("version v1.2.3", None), ("", None),
])
def test_last_number(text: str, number: float | None) -> None:
    assert last_number(text) == number
