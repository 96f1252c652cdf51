"""Rewards as they are typed."""

from pathlib import Path

import pytest

from sartor.base.errors import UsageError
from sartor.data.scorers import SCORERS
from sartor.train.rewards.protocol import Answered
from sartor.train.rewards.shape import Finished
from sartor.train.rewards.specs import is_run, rewards, split_weight
from sartor.train.rewards.weighted import Weighted


def answered(text: str, num_tokens: int = 5, answers: tuple[str, ...] = ("4",)) -> Answered:
    return Answered([], text, answers, num_tokens, True, "rows.jsonl:1")


@pytest.mark.parametrize(("spec", "weight", "rest"), [
    ("numeric", 1.0, "numeric"), ("0.5*numeric", 0.5, "numeric"), (" -2 * length:200", -2.0, "length:200"),
    ("1e-3*runs/reward", 0.001, "runs/reward"), ("regex:2*3", 1.0, "regex:2*3"), ("regex:.*", 1.0, "regex:.*"),
    ("2*regex:2*3*", 2.0, "regex:2*3*"), ("3*python:a.py:f", 3.0, "python:a.py:f"),
])  # fmt: skip
def test_a_weight_is_told_from_a_star_in_a_pattern(spec: str, weight: float, rest: str) -> None:
    assert split_weight(spec) == (weight, rest)


@pytest.mark.parametrize("spec", ["x*numeric", "*numeric", "nan*numeric", "inf*numeric", "1.2.3*numeric"])
def test_a_weight_must_be_a_finite_number(spec: str) -> None:
    for read in (split_weight, is_run, lambda spec: rewards([spec])):
        with pytest.raises(UsageError, match="not a weight"):
            read(spec)


def test_all_kinds_in_one_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("number.json").write_text('{"type": "integer"}')
    Path("mine.py").write_text("def halved(answer, prompt, answers):\n    return int(answer) / 2\n")
    specs = [
        "numeric", "2*finished", "-1*length:10", r"regex:\d*", "schema:number.json", "0.1*python:mine.py:halved",
    ]  # fmt: skip
    by = rewards(specs, [Weighted(Finished(), 10.0)])
    expected = {
        "finished": 1.0, "numeric": 1.0, "finished_2": 1.0, "length": 0.5, "regex": 1.0, "schema": 1.0, "halved": 2.0,
    }  # fmt: skip
    assert by.parts([answered("4")]) == {name: [score] for name, score in expected.items()}
    assert by.score([answered("4")]) == pytest.approx([10 + 1 + 2 - 0.5 + 1 + 1 + 0.2])


@pytest.mark.parametrize("name", SCORERS)
def test_every_scorer_is_a_reward(name: str) -> None:
    found = rewards([name]).score([answered("4"), answered("5")])
    assert found == [SCORERS[name].score(text, ["4"]) for text in ("4", "5")] == [1.0, 0.0]


@pytest.mark.parametrize(("spec", "message"), [
    ("numerc", "unknown reward, and no such folder: numerc(?s:.)*did you mean numeric"),
    ("runs/reward", "no such folder"), ("lenght:3", "did you mean length"), ("", "unknown reward"),
    ("length", "write length:TOKENS"), ("schema:", "write schema:FILE.json"), ("python:mine.py", "FILE.py:FUNCTION"),
    ("numeric:3", "write numeric alone"), ("finished:", "write finished alone"), ("regex:(a+)+b", "for ever"),
])  # fmt: skip
def test_wrong_specs_are_refused_with_a_hint(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rewards([spec])


def test_one_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="numeric is given twice"):
        rewards(["numeric", "2*numeric"])


def test_a_run_is_an_existing_folder_that_no_kind_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("judge", "json"):
        Path(name).mkdir()
    Path("length:3").mkdir()
    specs = ["judge", "0.5*judge", "json", "./json", "nowhere", "length:3"]
    assert [is_run(spec) for spec in specs] == [True, True, False, True, False, False]


def test_a_pattern_may_be_longer_than_any_file_name() -> None:
    pattern = "regex:" + "|".join(f"answer {number}" for number in range(60))
    assert len(pattern) > 300 and not is_run(pattern) and not is_run(f"2*{pattern}") and not is_run("long" * 100)
    assert rewards([pattern]).score([answered("answer 59"), answered("answer 60")]) == [1.0, 0.0]
