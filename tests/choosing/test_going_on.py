"""Going on with a run: a path that comes in later costs only itself, and what has changed is done again, no more."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sartor.base.configuration import Layer, build
from sartor.base.errors import UsageError
from sartor.base.metrics import read_metrics
from sartor.base.run_folder import RunFolder
from sartor.choosing.choose import ChooseConfig, rescore, run
from sartor.choosing.fitting.course import Fitting
from sartor.choosing.fitting.path_kinds import KINDS
from sartor.choosing.going_on import kept_share
from sartor.choosing.inputs import NEVER, OF_KINDS, changed_inputs, keep_inputs
from sartor.choosing.measure import read_answers
from sartor.choosing.service import ANSWERS_FILE
from tests import tiny_folders


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return tiny_folders.task(tmp_path / "ships")


@pytest.fixture
def worked_on(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`fit NAME` and `measure NAME` for all that was done, in order, without the references."""
    done: list[str] = []
    own = Fitting.fit, Fitting.measure

    def noting(verb: str, method: Any) -> Any:
        def noted(self: Fitting, name: str) -> None:
            before, self.worked = self.worked, False
            method(self, name)
            if self.worked and not KINDS[name].reference:
                done.append(f"{verb} {name}")
            self.worked = self.worked or before

        return noted

    for verb, method in zip(("fit", "measure"), own, strict=True):
        monkeypatch.setattr(Fitting, verb, noting(verb, method))
    return done


def config(models: Path, task: Path, **settings: Any) -> ChooseConfig:
    values = {"task": str(task), "out": str(task.parent / "run"), "base": str(models / "language"), "budget": "1m"}
    values |= {"probes": ["none"]}
    return build(ChooseConfig, Layer(values | settings))


def choose(models: Path, task: Path, **settings: Any) -> dict[str, Any]:
    return run(config(models, task, **settings)).choice


def path(choice: dict[str, Any], name: str) -> dict[str, Any]:
    """What was found out about one path, without how it stands to the others."""
    found: dict[str, Any] = next(each for each in choice["paths"] if each["name"] == name)
    return {key: value for key, value in found.items() if key not in ("dominated_by", "excluded")}


def names(choice: dict[str, Any]) -> list[str]:
    return [each["name"] for each in choice["paths"] if not KINDS[each["name"]].reference]


def test_a_path_that_comes_in_later_costs_only_itself(
    models: Path, task: Path, worked_on: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first = choose(models, task, paths=["rag"])
    assert worked_on == ["fit rag", "measure rag"]
    worked_on.clear()
    second = choose(models, task, paths=["prompt"])
    assert worked_on == ["fit prompt", "measure prompt"]
    assert names(second) == ["prompt", "rag"] and path(second, "rag") == path(first, "rag")
    assert second["comparisons"] and second["how"]["seconds_total"] > first["how"]["seconds_total"]
    assert second["how"]["share"] == first["how"]["share"] == "1 min 00 s"
    worked_on.clear()
    assert choose(models, task, paths=["rag", "prompt"])["comparisons"] == second["comparisons"]
    assert worked_on == []
    shutil.rmtree(task / "documents")
    capsys.readouterr()
    assert names(choose(models, task)) == ["prompt", "finetune"]
    assert worked_on == ["fit finetune", "measure finetune"]
    assert "rag, which this run has, is left out" in capsys.readouterr().err


def test_a_remote_model_comes_in_later_and_is_known_from_then_on(
    models: Path, task: Path, worked_on: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    choose(models, task, paths=["prompt"])
    with tiny_folders.service() as service:
        prices = task.parent / "prices.yaml"
        host = service.url.removeprefix("http://").removesuffix("/v1")
        prices.write_text(
            f'prices:\n  - {{host: "{host}", models: ["*"], input_per_million: 1, output_per_million: 2, '
            "as_of: 2026-01-31}\n"
        )
        remote = {"api": "m", "api_base_url": service.url, "prices": str(prices)}
        added = choose(models, task, paths=["prompt", "api"], **remote)
        assert worked_on[2:] == ["fit api", "measure api"] and names(added) == ["prompt", "api"]
        asked = len(service.asked)
        kept = read_metrics(task.parent / "run" / ANSWERS_FILE)
        paid = sum(line["reply"]["cost"] for line in kept)
        assert 0 < path(added, "api")["setup_paid"] < paid  # the rest was paid for measuring
        assert 0 < path(added, "api")["setup_bytes_sent"] < sum(line["reply"]["bytes_sent"] for line in kept)
        assert path(added, "api")["setup_cost"] > path(added, "api")["setup_paid"]
        assert names(choose(models, task, paths=["prompt"])) == ["prompt", "api"]
        assert len(service.asked) == asked and worked_on[4:] == []
        other = choose(models, task, paths=["api"], **remote | {"api": "another"})
        assert worked_on[4:] == ["fit api", "measure api"] and names(other) == ["prompt", "api"]
        assert {each["model"] for each in service.asked[asked:]} == {"another"}
        assert other["how"]["test_touches"] == {"prompt": 1, "api": 2} and other["test_touched"] == 2
        assert path(other, "prompt") == path(added, "prompt")


def test_what_a_service_did_not_answer_is_asked_again_and_nothing_else(
    models: Path, task: Path, worked_on: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    asked = [json.loads(line)["question"] for line in (task / "test.jsonl").read_text().splitlines()]
    with tiny_folders.service() as service:
        remote = {"api": "m", "api_base_url": service.url}
        service.failing.add(asked[1])
        choose(models, task, paths=["prompt", "api"], **remote)
        assert [answer["finish"] == "error" for answer in answers(task)] == [each == asked[1] for each in asked]
        service.failing.clear()
        service.asked.clear()
        worked_on.clear()
        choose(models, task, paths=["prompt", "api"], **remote)
        assert worked_on == ["measure api"] and all(answer["finish"] != "error" for answer in answers(task))
        assert {each["messages"][-1]["content"] for each in service.asked} == {asked[1]}
        choose(models, task, paths=["prompt", "api"], **remote)
        assert worked_on == ["measure api"]


def answers(task: Path) -> list[dict[str, Any]]:
    return read_answers(task.parent / "run" / "answers" / "api.jsonl")


def test_a_service_that_is_gone_for_good_does_not_keep_the_others_back(
    models: Path, task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choose(models, task, paths=["prompt"])
    dead = task.parent / "run" / "paths" / "api"
    shutil.copytree(task.parent / "run" / "paths" / "prompt", dead)  # fitted, and not measured
    (dead / "measured.json").unlink()
    remote = {"api": "m", "api_base_url": "http://127.0.0.1:9/v1"}
    assert names(choose(models, task, paths=["prompt"], **remote)) == ["prompt"]
    assert "api, which this run has, is left out" in " ".join(capsys.readouterr().err.split())
    assert names(rescore(task.parent / "run").choice) == ["prompt"]


def test_changed_documents_are_measured_again_where_they_are_read(
    models: Path, task: Path, worked_on: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = choose(models, task, paths=["prompt", "rag"])
    (task / "documents" / "red.md").write_text("# red ship\n\nthe red ship lies in the south harbour")
    worked_on.clear()
    after = choose(models, task, paths=["prompt", "rag"])
    assert worked_on == ["fit rag", "measure rag"]
    assert "rag: no longer the same: documents" in capsys.readouterr().err
    assert path(after, "prompt") == path(before, "prompt")
    touches = after["how"]["test_touches"]
    assert (touches["prompt"], touches["rag"], before["test_touched"]) == (1, 2, 1)
    answers = (task.parent / "run" / "answers" / "rag.jsonl").read_text()
    assert "the red ship lies in the south" in answers and "the red ship lies in the north" not in answers


def test_another_base_model_under_the_same_name_begins_anew(models: Path, task: Path, worked_on: list[str]) -> None:
    base = tiny_folders.language_model(task.parent / "base")
    choose(models, task, base=str(base), paths=["prompt"])
    tiny_folders.language_model(base, seed=1)
    worked_on.clear()
    choose(models, task, base=str(base), paths=["prompt"])
    assert worked_on == ["fit prompt", "measure prompt"]


@pytest.mark.parametrize(
    ("setting", "what"), [({"budget": "2m"}, "--budget 1m, not 2m .*equal"), ({"seed": 3}, "--seed 0, not 3")]
)
def test_what_all_paths_must_share_is_refused(models: Path, task: Path, setting: dict[str, Any], what: str) -> None:
    choose(models, task, paths=["prompt"])
    settings = (task.parent / "run" / "config.yaml").read_bytes()
    with pytest.raises(UsageError, match=what):
        choose(models, task, paths=["prompt", "rag"], **setting)
    assert (task.parent / "run" / "config.yaml").read_bytes() == settings


def test_prices_and_grid_decide_again_without_measuring(models: Path, task: Path, worked_on: list[str]) -> None:
    first = choose(models, task, paths=["prompt"])
    worked_on.clear()
    dearer = choose(models, task, paths=["prompt"], machine_price=0.2, grid="FR")
    assert worked_on == []
    one, two = path(first, "prompt"), path(dearer, "prompt")
    assert two["cost_per_1k"] == pytest.approx(2 * one["cost_per_1k"]) and one["cost_per_1k"] > 0
    assert two["carbon_g"] == pytest.approx(one["carbon_g"] * 56 / 481) and one["carbon_g"] > 0
    assert "FR" in dearer["how"]["grid"] and "world" in first["how"]["grid"]
    assert dearer["how"]["seconds_total"] == first["how"]["seconds_total"]


def test_a_budget_of_money_is_shared_as_the_time_it_buys(models: Path, task: Path) -> None:
    given = config(models, task, budget="1usd", machine_price=30)
    with RunFolder.create(task.parent / "run") as folder:
        assert (kept_share(folder, given, 2).seconds, kept_share(folder, given, 2).dollars) == (60.0, 0.5)
        assert kept_share(folder, given, 5).seconds == 60.0  # more paths came in


def test_every_setting_is_one_that_is_sorted(models: Path, task: Path) -> None:
    """A new setting either changes what is measured or does not: it is to be named in one of the two, or stays one
    that the whole run must share."""
    assert set(OF_KINDS) | NEVER <= set(ChooseConfig.model_fields)
    assert not NEVER & set(OF_KINDS)


def test_inputs_are_compared_by_name_and_content(tmp_path: Path) -> None:
    assert changed_inputs(tmp_path / "rag", {"rows": "a"}) == []
    keep_inputs(tmp_path / "rag", {"rows": "a", "documents": "b"})
    assert changed_inputs(tmp_path / "rag", {"rows": "a", "documents": "b"}) == []
    assert changed_inputs(tmp_path / "rag", {"rows": "a", "documents": "c"}) == ["documents"]
    assert changed_inputs(tmp_path / "rag", {"rows": "a"}) == ["documents"]
    (tmp_path / "old").mkdir()
    assert changed_inputs(tmp_path / "old", {"rows": "a"}) == []  # killed before anything was written
    (tmp_path / "old" / "path.json").write_text("{}")
    assert changed_inputs(tmp_path / "old", {"rows": "a"}) == ["rows"]
