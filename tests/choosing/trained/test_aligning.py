"""The path that learns from preferences: which pairs it learns from, and a whole run of it on a tiny model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sartor.adapters.store import read_settings
from sartor.base.configuration import Layer, build, load_yaml
from sartor.base.errors import UsageError
from sartor.choosing.choose import ChooseConfig, Outcome, rescore, run
from sartor.choosing.fitting import course, path_kinds
from sartor.choosing.fitting.budget import Share
from sartor.choosing.measure import read_answers
from sartor.choosing.trained import aligning
from sartor.choosing.trained.aligning import (
    REFERENCE_COST,
    characters_per_second,
    choose_pairs,
    kept_pairs,
    num_characters,
)
from sartor.choosing.trained.task_pairs import TaskPairs
from sartor.choosing.trained.training import DEV_CHARACTERS, SAVING_SHARE
from sartor.data.leaks import LeakReport
from sartor.data.records import Preference
from sartor.data.task import Task
from sartor.data.turns import message
from sartor.recipes.dpo import DpoConfig
from sartor.recipes.pair_rows import asked_of
from sartor.recipes.stage import TrainingResult
from sartor.retrieval.path import chosen_path, open_path
from tests import tiny_folders

PATH = "finetune+dpo"


def preference(question: str, chosen: str = "north", rejected: str = "nowhere") -> Preference:
    answers = ([message("assistant", answer)] for answer in (chosen, rejected))
    return Preference([message("user", question)], *answers)


PAIRS = [preference(f"question {n // 2} of many", f"answer {n}") for n in range(120)]


# --- which pairs ------------------------------------------------------------------------------------------------------


def test_pairs_that_ask_the_same_are_on_one_side_and_none_is_lost() -> None:
    train, held_out = choose_pairs(PAIRS, 1e9, seed=0)
    assert {asked_of(each) for each in train}.isdisjoint(asked_of(each) for each in held_out)
    assert sorted(map(str, train + held_out)) == sorted(map(str, PAIRS)) and train and held_out


def test_no_more_pairs_are_held_out_than_are_quick_to_measure_and_the_rest_is_learnt_from() -> None:
    long = [preference(f"question {n} " + "x" * 4000) for n in range(100)]
    train, held_out = choose_pairs(long, 1e9, seed=0)
    assert len(held_out) > 1 and sum(map(num_characters, held_out)) <= DEV_CHARACTERS
    assert len(train) + len(held_out) == 100
    assert len(choose_pairs([preference(f"{n} " + "x" * 99_999) for n in range(9)], 1e9, seed=0)[1]) == 1


def test_no_more_pairs_are_learnt_from_than_can_be_seen_in_time() -> None:
    everything, held_out = choose_pairs(PAIRS, 1e9, seed=0)
    for most in (0, 1000, 2500):
        train, same = choose_pairs(PAIRS, most, seed=0)
        reference = REFERENCE_COST * sum(map(num_characters, [*train, *same]))
        assert same == held_out and train == everything[: len(train)]
        assert reference + sum(map(num_characters, train)) <= most or len(train) == 1
        following = num_characters(everything[len(train)]) * (1 + REFERENCE_COST)
        assert reference + sum(map(num_characters, train)) + following > most
    assert choose_pairs(PAIRS, 1000, seed=1)[0] != choose_pairs(PAIRS, 1000, seed=0)[0]


def test_what_was_chosen_stays_chosen(tmp_path: Path) -> None:
    first = kept_pairs(tmp_path, PAIRS, 1500, seed=0)
    again = kept_pairs(tmp_path, PAIRS[:50], 1e9, seed=3)
    assert again == first
    assert [replace(pair, where="") for pair in first[0]] == choose_pairs(PAIRS, 1500, seed=0)[0]


def test_a_prompt_that_ends_with_an_assistants_turn_is_read_back_as_it_was(tmp_path: Path) -> None:
    begun = [message("user", "one?"), message("assistant", "well,")]
    odd = replace(preference("one?"), prompt=begun)
    train, dev = kept_pairs(tmp_path, [odd, preference("two?")], 1e9, seed=0)
    assert odd in [replace(pair, where="") for pair in (*train, *dev)]


def test_the_speed_is_that_of_fine_tuning(brief: Any, row: Any) -> None:
    rows = [row(n, "12345678", "90") for n in range(40)]
    result = TrainingResult(Path(), Path(), 5, 5, 1.0, 1.0, 1.0, False, seconds=2.0)
    assert characters_per_second(brief(rows), result) == pytest.approx(5 * 16 * 10 / 2)
    assert characters_per_second(brief(rows[:4]), result) == pytest.approx(5 * 4 * 10 / 2)


# --- a whole run ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folders.language_model(tmp_path_factory.mktemp("models") / "language")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task without documents, but with preferences, of which one asks a test question."""
    folder = tiny_folders.task(tmp_path_factory.mktemp("tasks") / "ships")
    shutil.rmtree(folder / "documents")
    prompts = [f"where is the {n * 7919} ship" for n in range(30)] + ["tell me harbour 3, white vessel?"]
    rows = [{"prompt": prompt, "chosen": "north", "rejected": "somewhere else"} for prompt in prompts]
    tiny_folders.write_rows(folder / "preferences.jsonl", rows)
    return folder


def config(model: Path, task: Path, out: Path, **settings: Any) -> ChooseConfig:
    values = {"task": str(task), "out": str(out), "base": str(model), "budget": "1m", "paths": [PATH]} | settings
    return build(ChooseConfig, Layer(values))


@pytest.fixture(scope="module")
def finished(model: Path, task: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(config(model, task, tmp_path_factory.mktemp("runs") / "ships"))


def test_the_path_goes_on_from_its_fine_tuning_with_another_adapter(finished: Outcome, model: Path) -> None:
    folder = finished.out / "paths" / PATH
    settings = load_yaml(folder / "dpo" / "config.yaml").values
    assert settings["base"] == str(folder / "run") and settings["loss"] == "sigmoid"
    before, after = (json.loads((folder / name / "result.json").read_text()) for name in ("run", "dpo"))
    assert after["dev_loss_before"] == pytest.approx(0.6931, abs=1e-3)  # nothing learnt yet: the reference is the start
    assert after["dev_loss"] < after["dev_loss_before"] and before["dev_loss"] < before["dev_loss_before"]
    weights = [(folder / name / "adapter" / "adapter_model.safetensors").read_bytes() for name in ("run", "dpo")]
    assert weights[0] != weights[1]
    assert read_settings(folder / "dpo" / "adapter")[1] == str(model)


def test_it_is_asked_in_training_as_it_is_when_measured_and_no_test_question_is_there(
    finished: Outcome, task: Path
) -> None:
    folder = finished.out / "paths" / PATH
    learnt = [
        json.loads(line)
        for name in ("pairs", "dev_pairs")
        for line in (folder / f"{name}.jsonl").open(encoding="utf-8")
    ]
    answers = read_answers(finished.out / "answers" / f"{PATH}.jsonl")
    system = {"role": "system", "content": "Name the harbour."}
    assert len(learnt) == 30 and len(answers) == 20
    assert all(each["chosen"][0] == each["rejected"][0] == system for each in learnt)
    assert all(answer["messages"][0] == system for answer in answers)
    tests = {row.question for row in Task.load(task).test}
    assert tests.isdisjoint(each["chosen"][1]["content"] for each in learnt)


def test_it_is_measured_reported_and_served_like_any_other(finished: Outcome, task: Path) -> None:
    (path,) = finished.choice["paths"]
    assert (path["name"], path["score"], path["n"], path["hosts"]) == (PATH, 0.5, 20, [])
    assert path["freshness_seconds"] == path["setup_seconds"] > 0
    assert path["endpoint"] == f"sartor serve {finished.out} --path {PATH}"
    told = path["chosen_on_dev"][-1]
    assert told["chosen"] and "of 30 preference pairs learnt from: held-out loss 0.69" in told["setting"]
    how = finished.choice["how"]
    assert how["pairs"] == 30 and how["pair_leaks"].startswith("1 test questions stand word for word")
    assert "pairs" not in path and "pair_leaks" not in path
    for name in ("report.html", "report.md"):
        text = (finished.out / name).read_text()
        assert "ine-tuning + preferences" in text and "among the preference pairs" in text
    opened = open_path(*chosen_path(finished.out, PATH))
    asked = read_answers(finished.out / "answers" / f"{PATH}.jsonl")
    replies = opened.generator.generate([row.messages for row in Task.load(task).test], opened.config.sampling)
    assert [reply.text for reply in replies] == [answer["text"] for answer in asked]


def test_deciding_again_keeps_what_is_known_of_the_preferences(finished: Outcome, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(finished.out, tmp_path / "run"))
    again = rescore(copied).choice
    assert again["how"] == finished.choice["how"] and again["choice"] == finished.choice["choice"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["after fine-tuning", "in the middle of the pairs", "after the pairs"])
def test_an_interrupted_run_goes_on_from_what_is_done(
    finished: Outcome, model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def killed(*arguments: Any, **named: Any) -> Any:
        raise Killed

    settings = config(model, task, tmp_path / "run")
    with monkeypatch.context() as patch:
        if moment == "after fine-tuning":
            patch.setattr(aligning, "kept_pairs", killed)
        elif moment == "in the middle of the pairs":
            patch.setattr("sartor.recipes.dpo_stage.DpoStage.quality", killed)
        else:
            patch.setattr(course, "replace_json", killed_at("fitted.json"))
        with pytest.raises(Killed):
            run(settings)
    folder = tmp_path / "run" / "paths" / PATH
    kept = {name: (folder / name).read_bytes() for name in ("run/result.json", "run/config.yaml")}
    outcome = run(settings)
    assert {name: (folder / name).read_bytes() for name in kept} == kept
    for name in ("pairs.jsonl", "dpo/adapter/adapter_model.safetensors"):
        assert (folder / name).read_bytes() == (finished.out / "paths" / PATH / name).read_bytes()
    answers = (read_answers(out / "answers" / f"{PATH}.jsonl") for out in (outcome.out, finished.out))
    assert len({tuple(answer["text"] for answer in each) for each in answers}) == 1


def killed_at(name: str) -> Any:
    write = course.replace_json

    def replace_json(path: Path, value: Any) -> None:
        if path.name == name:
            raise Killed
        write(path, value)

    return replace_json


def test_fine_tuning_has_two_thirds_of_the_time(
    model: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, float] = {}

    def noted(shop: Any, folder: Path, share: Any) -> Any:
        given["all"], given["left"] = share.seconds, share.left
        raise Killed

    monkeypatch.setattr(aligning, "train_plainly", noted)
    with pytest.raises(Killed):
        run(config(model, task, tmp_path / "run", budget="30m"))
    assert given["all"] == pytest.approx(1200) and 1100 < given["left"] <= 1200


def test_pairs_have_their_third_where_fine_tuning_took_too_long(
    brief: Any, row: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(n, "12345678", "90") for n in range(40)]
    result = TrainingResult(tmp_path, tmp_path, 5, 5, 1.0, 1.0, 1.0, False, seconds=2.0, quality={"accuracy": 1.0})
    seen: list[DpoConfig] = []
    monkeypatch.setattr(aligning, "train_plainly", lambda *given: (result, []))
    shop = SimpleNamespace(
        brief=brief(rows),
        config=SimpleNamespace(seed=0),
        pairs=TaskPairs(tuple(PAIRS), LeakReport((), ())),
        path_config=lambda name, **settings: settings,
    )

    def learnt(config: DpoConfig) -> TrainingResult:
        seen.append(config)
        return replace(result, trained=Path(config.out) / "adapter")

    monkeypatch.setattr(aligning, "run", learnt)
    for spent in (100.0, 500.0, 900.0):
        folder = tmp_path / str(spent)
        folder.mkdir()
        shared: Any = shop
        _, tried = aligning.fit_aligned(shared, PATH, folder, Share(600.0, before=spent))
        assert "of 120 preference pairs" in tried[-1].setting
    assert [config.max_minutes for config in seen] == pytest.approx(
        [(1 - SAVING_SHARE) * left / 60 for left in (500, 200, 200)], abs=0.01
    )


# --- when it is measured ----------------------------------------------------------------------------------------------


def test_a_task_with_preferences_measures_it_by_default(model: Path, task: Path, tmp_path: Path) -> None:
    settings = config(model, task, tmp_path / "run", paths=[])
    assert path_kinds.applicable_paths(settings, Task.load(task)) == ["prompt", "finetune", PATH]
    others = config(model, task, tmp_path / "run", paths=["prompt"])
    assert path_kinds.applicable_paths(others, Task.load(task)) == ["prompt"]


def test_without_preferences_it_does_not_apply_and_the_missing_file_is_named(model: Path, tmp_path: Path) -> None:
    plain = tiny_folders.task(tmp_path / "task")
    with pytest.raises(UsageError, match="there is no .*task/preferences.jsonl") as refused:
        run(config(model, plain, tmp_path / "run"))
    assert "sartor prefer" in (refused.value.hint or "") and not (tmp_path / "run").exists()
    assert PATH not in path_kinds.applicable_paths(config(model, plain, tmp_path / "run", paths=[]), Task.load(plain))


def test_preferences_are_not_read_for_the_other_paths(model: Path, task: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(task, tmp_path / "task"))
    (own / "preferences.jsonl").write_text("no rows\n")
    outcome = run(config(model, own, tmp_path / "run", paths=["prompt"], budget="1s"))
    assert [path["name"] for path in outcome.choice["paths"]] == ["prompt"]
    assert outcome.choice["how"]["pairs"] is None
