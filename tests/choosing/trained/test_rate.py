"""The rate of a fine-tuned path is searched once, kept for a resumed training, and recorded with what was tried."""

import json
from pathlib import Path
from typing import Any

import pytest

from sartor.base.configuration import Layer, build, load_yaml
from sartor.choosing import choose
from sartor.choosing.choose import ChooseConfig
from sartor.choosing.fitting.budget import Share
from sartor.choosing.prompted.prompting import Tried
from sartor.choosing.trained import rate
from sartor.choosing.trained.rate import learning_rate
from sartor.recipes import rate_trials
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.rate_trials import RateSearch
from sartor.train.learning_rate import RateFound, RateTried
from tests import tiny_folders

ROWS = [{"question": f"the colour of {n * 7919}", "answer": ("red", "green", "blue")[n % 3]} for n in range(40)]


@pytest.fixture
def settings(tmp_path: Path) -> FinetuneConfig:
    base = tiny_folders.language_model(tmp_path / "tiny")
    tiny_folders.write_rows(tmp_path / "rows.jsonl", ROWS)
    return FinetuneConfig(data=str(tmp_path / "rows.jsonl"), base=str(base), out=str(tmp_path / "run"), lora_rank=4)


def test_a_short_share_takes_the_default_and_says_so(
    settings: FinetuneConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learning_rate(settings, tmp_path, Share(60)) == (None, [])
    assert "no search" in capsys.readouterr().err
    assert json.loads((tmp_path / "learning_rate.json").read_text()) == {"learning_rate": None, "tried": []}


def test_a_long_share_searches_once_and_keeps_what_it_found(
    settings: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_trials, "measure_step", lambda *arguments: 0.5)
    found, tried = learning_rate(settings, tmp_path, Share(600))
    assert found is not None and sum(each.chosen for each in tried) == 1 and len(tried) >= 4
    assert f"learning rate {found:.2g}" in tried[-1].setting and all(each.dev_score is None for each in tried)

    def fail(*arguments: Any) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(rate, "_search", fail)
    assert learning_rate(settings, tmp_path, Share(1)) == (found, tried)
    assert isinstance(tried[0], Tried)


def test_a_search_without_an_answer_takes_the_default(
    settings: FinetuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_trials, "measure_step", lambda *arguments: 1000.0)
    assert learning_rate(settings, tmp_path, Share(600)) == (None, [])


def test_the_path_trains_with_the_rate_records_it_and_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = (RateTried(1e-3, {8: 2.5}, 0.2, 0.1, "worse"), RateTried(4e-3, {8: 2.3, 16: 2.2}, 0.0, 0.0, "best"))
    found = RateSearch(RateFound(tried, 4e-3, (4e-3, 4e-3), 0.1, 3.0, 16), 1e-3, 16, 8, 1.0)
    monkeypatch.setattr(rate, "_search", lambda config, seconds: found)
    settings = {
        "task": str(tiny_folders.task(tmp_path / "ships")),
        "base": str(tiny_folders.language_model(tmp_path / "tiny")),
        "out": str(tmp_path / "run"),
        "paths": ["finetune"],
        "budget": "4s",
    }
    choose.run(build(ChooseConfig, Layer(settings)))
    path = tmp_path / "run" / "paths" / "finetune"
    assert load_yaml(path / "run" / "config.yaml").values["learning_rate"] == 4e-3
    recorded = json.loads((path / "fitted.json").read_text())["chosen_on_dev"]
    assert [each["setting"].split(":")[0] for each in recorded[:2]] == ["learning rate 0.001", "learning rate 0.004"]
    assert [each["chosen"] for each in recorded] == [False, False, True, True]
    assert "steps; the best checkpoint, after" in recorded[-1]["setting"]
    report = (tmp_path / "run" / "report.html").read_text()
    assert "held-out loss 2.2000 after 16 steps, best" in report

    (path / "path.json").unlink()  # as if it had stopped after training
    monkeypatch.setattr(rate, "_search", lambda config, seconds: None)
    choose.run(build(ChooseConfig, Layer(settings)))
    assert json.loads((path / "fitted.json").read_text())["chosen_on_dev"] == recorded
