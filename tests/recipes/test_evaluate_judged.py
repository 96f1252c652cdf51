"""Two models asked a task's rows, and a judge asked which of them answers better."""

import re
from pathlib import Path

import pytest

from sartor.cli.main import main
from sartor.evaluation.judge import Judge
from sartor.recipes import evaluate as recipe
from sartor.recipes.evaluate import as_json, evaluate
from tests import tiny_folders
from tests.evaluation.judges import ScriptedModel


def prefers_echo(shown: str) -> str:
    first, second = re.findall(r"<answer [AB] \w+>\n(.*?)\n</answer", shown, re.DOTALL)
    return f"VERDICT: {'A' if first.startswith('echo') else 'B' if second.startswith('echo') else 'TIE'}"


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A tiny model and a task that names a judge, which prefers a service that echoes."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(recipe, "open_judge", lambda settings, kept: Judge(ScriptedModel(prefers_echo), settings.model))
    task = tiny_folders.task(tmp_path / "ships")
    (task / "task.yaml").write_text("name: ships\nscorer: regex\njudge: {model: big}\n")
    return tiny_folders.language_model(tmp_path / "tiny"), task


def test_the_judge_says_which_is_better_and_the_scores_stay_the_scorers(two: tuple[Path, Path]) -> None:
    model, task = two
    with tiny_folders.service() as service:
        found, (contest,) = evaluate([service.url, str(model)], [str(task)], "test", 8, "m", None, None)
    assert [each.scorer for each in found] == ["regex", "regex"] and contest.comparison is not None
    assert contest.preferred is not None
    assert (contest.preferred.wins, contest.preferred.losses, contest.preferred.turned) == (20, 0, 0)
    assert as_json(found, [contest])["comparisons"][0]["preferred"]["rate"]["mean"] == 1


def test_answers_that_failed_are_not_judged(two: tuple[Path, Path]) -> None:
    model, task = two
    with tiny_folders.service() as service:
        service.failing = {f"tell me harbour {n}, {tiny_folders.SHIPS[n % 6]} vessel?" for n in range(5)}
        _, (contest,) = evaluate([str(model), service.url], [str(task)], "test", 8, "m", None, None)
    assert contest.preferred is not None and contest.preferred.losses == 15 and contest.preferred.unscored == 0


def test_it_is_printed(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    model, task = two
    with tiny_folders.service() as service:
        assert main(["evaluate", service.url, str(model), str(task), "--remote-model", "m"]) == 0
    assert f"judge on ships: Of 20 pairs {service.url} is preferred in 20, {model} in 0; 0 are ties" in (
        capsys.readouterr().out
    )
