"""`choose` with the scorer judge: what it said is kept, what it did not say is bounded, and all is scored again."""

import json
from pathlib import Path
from typing import Any

import pytest

from sartor.base.configuration import Layer, build
from sartor.choosing.choose import ChooseConfig, rescore, run
from sartor.choosing.measure import read_answers
from sartor.data.judge_settings import JudgeSettings
from sartor.evaluation import scoring
from sartor.evaluation.judge import Judge, described
from tests import tiny_folders
from tests.evaluation.judges import ScriptedModel

SETTINGS = JudgeSettings(model="big", rubric="Harbours count.")


def says(of_number: Any) -> Any:
    """A judge that says what `of_number` makes of the number in a question."""

    def say(shown: str) -> str:
        asked = shown.split("tell me harbour ")[-1].split(",")[0]
        return f"So.\n{of_number(int(asked))}" if asked.isdigit() else "VERDICT: WRONG"

    return lambda settings, kept: Judge(ScriptedModel(say), settings.model, settings.rubric)


def test_a_judged_run_and_what_it_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        scoring,
        "open_judge",
        says(lambda n: "Hard to say." if n % 10 == 9 else f"VERDICT: {'RIGHT' if n % 2 else 'WRONG'}"),
    )
    base = tiny_folders.language_model(tmp_path / "language")
    task = tiny_folders.task(tmp_path / "ships", "judge")
    (task / "task.yaml").write_text("scorer: judge\njudge: {model: big, rubric: Harbours count.}\n")
    values = {"task": str(task), "out": str(tmp_path / "run"), "base": str(base), "budget": "1s", "paths": ["prompt"]}
    outcome = run(build(ChooseConfig, Layer(values)))
    (path,) = outcome.choice["paths"]
    assert (path["n"], path["unscored"]) == (20, 2) and path["score"] == pytest.approx(8 / 18)
    assert path["bounds"] == [8 / 20, 10 / 20]
    assert outcome.choice["how"]["judge"] == described(SETTINGS)
    assert ("judge_unreadable", "prompt") in {(each["kind"], each["path"]) for each in outcome.choice["warnings"]}
    answers = read_answers(outcome.out / "answers" / "prompt.jsonl")
    silent = [answer for answer in answers if answer["score"] is None]
    assert [answer["id"] for answer in silent] == ["t9", "t19"]
    assert all("no verdict" in answer["error"] and answer["finish"] != "error" for answer in silent)
    assert {answer["judged"]["prompt"] for answer in answers} == {described(SETTINGS)["prompt"]}

    monkeypatch.setattr(scoring, "open_judge", says(lambda n: "VERDICT: PARTLY"))
    (again,) = rescore(outcome.out).choice["paths"]
    assert (again["score"], again["unscored"]) == (0.5, 0)
    answers = read_answers(outcome.out / "answers" / "prompt.jsonl")
    assert all(answer["error"] is None and answer["judged"]["verdict"] == "PARTLY" for answer in answers)

    (task / "task.yaml").write_text("scorer: exact\n")
    rescore(outcome.out)
    lines = (outcome.out / "answers" / "prompt.jsonl").read_text().splitlines()
    assert all("judged" not in json.loads(line) for line in lines)
