"""By which dev questions a checkpoint is chosen: as many as there is time for, kept for when the training goes on."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sartor.choosing.trained import scored_questions as module
from sartor.choosing.trained.scored_questions import FEWEST, MOST, SHARE_OF_TRAINING, TIMED, scored_questions
from sartor.data.records import Row


def shop_of(brief: Any, seconds_a_question: float, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A workshop whose model takes so long."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)

    def generate(asked: list[Any], sampling: Any) -> list[Any]:
        clock.now += seconds_a_question * len(asked)
        return []

    return SimpleNamespace(brief=brief, base=SimpleNamespace(generate=generate))


@pytest.fixture
def rows(row: Any) -> list[Row]:
    return [row(n, f"question {n}", "a") for n in range(100)]


@pytest.mark.parametrize(("seconds", "number"), [(1e6, MOST), (800.0, 40), (400.0, 0)])
def test_as_many_as_there_is_time_for(
    brief: Any, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, number: int
) -> None:
    chosen = scored_questions(shop_of(brief(rows), 1.0, monkeypatch), rows, tmp_path, seconds)
    assert chosen == [replace(each, evidence=()) for each in rows[:number]]
    assert number == 0 or number >= FEWEST
    assert number <= max(SHARE_OF_TRAINING * seconds, TIMED)


def test_what_was_decided_stays(brief: Any, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scored_questions(shop_of(brief(rows), 1.0, monkeypatch), rows, tmp_path, 1000.0)
    assert scored_questions(shop_of(brief(rows), 9.0, monkeypatch), rows[::-1], tmp_path, 1.0) == first


def test_few_rows_and_judges_leave_it_to_the_loss(
    brief: Any, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    assert scored_questions(shop_of(brief(rows), 0.1, monkeypatch), rows[: FEWEST - 1], few, 1e6) == []
    assert "few to score by" in capsys.readouterr().err
    judged = brief(rows)
    judge: Any = SimpleNamespace(judge=object())
    judged = replace(judged, task=replace(judged.task, scorer=judge))
    assert scored_questions(shop_of(judged, 0.1, monkeypatch), rows, tmp_path, 1e6) == []
    assert "judge" in capsys.readouterr().err
