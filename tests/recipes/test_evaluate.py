"""Models asked a task's rows: scores, intervals, a comparison, the answers kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import DataError, UsageError
from sartor.cli.main import main
from sartor.evaluation.statistics import mean_interval, paired_difference
from sartor.recipes.evaluate import evaluate
from sartor.retrieval.path import PathConfig
from tests import tiny_folders


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folders.language_model(tmp_path_factory.mktemp("models") / "one" / "model")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return tiny_folders.task(tmp_path / "ships")


def asked(models: list[str], tasks: list[Path], split: str = "test", **others: Any) -> Any:
    options = {"max_new_tokens": 8, "remote_model": None, "key_env": None, "out": None} | others
    return evaluate(models, [str(task) for task in tasks], split, **options)


def test_one_model_is_scored_with_its_interval_and_its_answers_are_kept(
    model: Path, task: Path, tmp_path: Path
) -> None:
    (found,), contests = asked([str(model)], [task], out=tmp_path / "out")
    assert contests == []
    expected = mean_interval([0.0, 1.0] * 10)
    assert (found.score, found.ci) == (expected.mean, (expected.low, expected.high))
    assert (found.n, found.unscored, found.scorer, found.task) == (20, 0, "regex", "ships")
    (file,) = (tmp_path / "out").iterdir()
    answers = [json.loads(line) for line in file.read_text().splitlines()]
    assert [answer["id"] for answer in answers] == [f"t{n}" for n in range(20)]
    assert all(answer["messages"][0]["content"] == "Name the harbour." for answer in answers)
    assert sum(answer["finish"] == "length" for answer in answers) == found.truncated_replies


def test_two_models_are_compared_row_by_row_and_keep_answers_apart(
    model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    other = tiny_folders.language_model(tmp_path / "two" / "model", seed=1)
    rows = [json.loads(line) for line in (task / "test.jsonl").read_text().splitlines()]
    with tiny_folders.service() as service:
        echoed = [row | {"answer": f"echo {row['question']}".replace("?", r"\?")} for row in rows]
        tiny_folders.write_rows(task / "test.jsonl", [*echoed[:9], *rows[9:]])
        _, (contest,) = asked([service.url, str(model)], [task], remote_model="m", out=tmp_path / "out")
        echo, ours = [1.0] * 9 + [1.0, 0.0] * 5 + [1.0], [0.0] * 9 + [1.0, 0.0] * 5 + [1.0]
        assert contest.comparison == paired_difference(echo, ours)
        assert contest.comparison.test == "exact McNemar" and contest.comparison.difference == 9 / 20
        service.failing = {row["question"] for row in rows}
        found, contests = asked([service.url, str(model)], [task], remote_model="m")
        assert (found[0].score, found[0].ci, found[0].unscored, contests) == (None, None, 20, [])
    asked([str(model), str(other)], [task], out=tmp_path / "both")
    assert len(list((tmp_path / "both").iterdir())) == 2  # though both folders are called model


def test_groups_are_those_of_the_split_that_is_asked(model: Path, task: Path) -> None:
    """Ids are unique in a file only: test and dev may both have a row t0."""
    rows = [{"id": f"t{n}", "question": f"dev {n}", "answer": "north", "group": "same"} for n in range(19)]
    tiny_folders.write_rows(task / "dev.jsonl", [*rows, {"question": "other", "answer": "(?s).*", "group": "other"}])
    (on_test,), _ = asked([str(model)], [task])
    (on_dev,), _ = asked([str(model)], [task], "dev")
    expected = mean_interval([0.0, 1.0] * 10)
    assert on_test.ci == (expected.low, expected.high)
    grouped = mean_interval([0.0] * 19 + [1.0], ["same"] * 19 + ["other"])
    assert on_dev.ci == (grouped.low, grouped.high)


def test_a_path_is_asked_with_its_own_prompt(model: Path, task: Path, tmp_path: Path) -> None:
    path = PathConfig(
        name="prompt",
        description="measured",
        model=str(model),
        instruction="Say it.",
        examples=[("q", "a")],
        max_new_tokens=3,
    )
    path.save(tmp_path / "path")
    asked([str(tmp_path / "path")], [task], out=tmp_path / "out")
    (file,) = (tmp_path / "out").iterdir()
    for line in file.read_text().splitlines():
        answer = json.loads(line)
        assert [message["content"] for message in answer["messages"]] == ["Say it.", "q", "a", answer["question"]]
        assert answer["completion_tokens"] <= 3


def test_what_cannot_be_meant_is_refused(model: Path, task: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two models are called"):
        asked([str(model), str(model)], [task])
    namesake = tiny_folders.task(tmp_path / "other")
    with pytest.raises(UsageError, match="two tasks are called ships"):
        asked([str(model)], [task, namesake])
    with pytest.raises(UsageError, match="which model of http"):
        asked(["http://127.0.0.1:9/v1"], [task])
    (task / "train.jsonl").unlink()
    with pytest.raises(DataError, match="no dev rows"):
        asked([str(model)], [task], "dev")


def test_the_command_prints_scores_or_json(model: Path, task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", str(model), str(task), "--max-new-tokens", "4"]
    assert main(arguments) == 0
    assert f"{model} on ships: 0.500 [" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["evaluations"][0]["score"] == 0.5 and printed["comparisons"] == []
    assert main(["evaluate", str(model)]) == 2
