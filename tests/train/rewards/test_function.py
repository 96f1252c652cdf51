"""A user's own function as reward: what it is given, and how its mistakes are told."""

from pathlib import Path

import pytest

from sartor.base.errors import SartorError, UsageError
from sartor.train.rewards.function import UserFunction
from sartor.train.rewards.protocol import Answered

PROMPT = [{"role": "user", "content": "2 + 2?"}]


def reward(folder: Path, code: str, function: str = "f") -> UserFunction:
    file = folder / "mine.py"
    file.write_text(code)
    return UserFunction(str(file), function)


def answered(text: str = "4", where: str = "rows.jsonl:7") -> Answered:
    return Answered([dict(message) for message in PROMPT], text, ("4", "four"), 1, True, where)  # type: ignore[misc]


def test_it_is_given_answer_prompt_and_accepted_answers(tmp_path: Path) -> None:
    code = f"def f(answer, prompt, answers):\n    assert prompt == {PROMPT!r}\n    return answers.index(answer) + 0.5"
    assert reward(tmp_path, code).score([answered("4"), answered("four")]) == [0.5, 1.5]


@pytest.mark.parametrize(("result", "score"), [("True", 1.0), ("3", 3.0), ("-0.25", -0.25), ("np.float32(2)", 2.0)])
def test_any_real_number_is_a_score(tmp_path: Path, result: str, score: float) -> None:
    found = reward(tmp_path, f"import numpy as np\nf = lambda answer, prompt, answers: {result}").score([answered()])
    assert found == [score] and type(found[0]) is float


@pytest.mark.parametrize(("result", "message"), [
    ("None", "NoneType None"), ("'1'", "str '1'"), ("float('nan')", "returned nan"), ("float('-inf')", "returned -inf"),
    ("[1]", r"list \[1\]"), ("1j", "complex"), ("10**400", "returned a whole number of 1,329 bits"),
    ("-10**5000", "returned a whole number of"), ("np.float32('inf')", "inf"),
])  # fmt: skip
def test_what_is_no_finite_number_stops_and_names_the_row(tmp_path: Path, result: str, message: str) -> None:
    by = reward(tmp_path, f"import numpy as np\ndef f(answer, prompt, answers):\n    return {result}")
    with pytest.raises(SartorError, match=f"{message}.* for an answer to rows.jsonl:7"):
        by.score([answered()])


@pytest.mark.parametrize("wrong", ["1 / 0", "exit(3)", "int('x')"])
def test_an_error_is_told_with_its_line_and_the_row(tmp_path: Path, wrong: str) -> None:
    by = reward(
        tmp_path, f"import json\ndef g():\n    return {wrong}\n\ndef f(answer, prompt, answers):\n    return g()"
    )
    with pytest.raises(SartorError, match="f failed on an answer to rows.jsonl:7") as caught:
        by.score([answered()])
    assert caught.value.where == f"{tmp_path / 'mine.py'}:3"
    assert caught.value.__cause__ is not None


def test_the_line_is_the_users_also_when_a_library_failed(tmp_path: Path) -> None:
    by = reward(tmp_path, "import json\ndef f(answer, prompt, answers):\n    return json.loads(answer)")
    with pytest.raises(SartorError, match="mine.py:3: f failed .*JSONDecodeError"):
        by.score([answered("not JSON")])


def test_what_it_prints_does_not_reach_the_data_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "print('read')\ndef f(answer, prompt, answers):\n    print('asked')\n    return 1"
    assert reward(tmp_path, code).score([answered()]) == [1.0]
    assert capsys.readouterr() == ("", "read\nasked\n")


def test_it_cannot_change_the_row(tmp_path: Path) -> None:
    row = answered()
    code = "def f(answer, prompt, answers):\n    prompt[0]['content'] = ''\n    answers.clear()\n    return 0"
    assert reward(tmp_path, code).score([row]) == [0.0]
    assert row.messages == PROMPT and row.answers == ("4", "four")


def test_exactly_the_file_as_it_is_now_is_run(tmp_path: Path) -> None:
    """Same length and same second: a compiled copy would still be taken for fresh."""
    assert reward(tmp_path, "def f(answer, prompt, answers): return 1").score([answered()]) == [1.0]
    assert reward(tmp_path, "def f(answer, prompt, answers): return 2").score([answered()]) == [2.0]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"], "nothing is written beside it"


def test_dataclasses_work_in_the_file(tmp_path: Path) -> None:
    code = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: float\n"
        "def f(answer, prompt, answers):\n    return A(1.0).x"
    )
    assert reward(tmp_path, code).score([answered()]) == [1.0]


@pytest.mark.parametrize(("code", "function", "message"), [
    ("def f(a, b, c:\n    return 1", "f", "mine.py:1: the file cannot be run: SyntaxError"),
    ("x = 1\n\nraise ValueError('no')", "f", "mine.py:3: the file cannot be run: ValueError: no"),
    ("import nowhere_to_be_found", "f", "mine.py:1: the file cannot be run: ModuleNotFoundError"),
    ("def polite(a, b, c): return 1", "polit", "no function polit(?s:.)*did you mean polite"),
    ("f = 3", "f", "no function f"), ("def f(answer): return 1", "f", "f cannot be called: too many"),
])  # fmt: skip
def test_a_file_that_will_not_do_is_refused_at_the_start(
    tmp_path: Path, code: str, function: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        reward(tmp_path, code, function)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match="nowhere.py: there is no such file"):
        UserFunction("nowhere.py", "f")
