"""Trainings with several seeds: equal but for the seed, asked the same rows, served by dev score, gone on with."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor.base.configuration import load_yaml
from sartor.base.errors import DataError
from sartor.choosing import choose
from sartor.choosing.choose import Outcome, rescore
from sartor.choosing.measure import read_answers, scores_of
from sartor.choosing.trained import seeds
from sartor.choosing.trained.seeds import answer_files, kept_seeds
from sartor.evaluation.seed_variation import seeded_mean_interval
from sartor.retrieval.path import PathConfig, open_model
from tests import tiny_folders
from tests.choosing.trained_run import config


@pytest.fixture(scope="module")
def finished(task: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return choose.run(config(task, base, tmp_path_factory.mktemp("runs") / "three", seeds=3))


def path_of(run: Path) -> Path:
    return run / "paths" / "finetune"


def weights(folder: Path) -> bytes:
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


def test_trainings_differ_in_their_seed_alone(finished: Outcome) -> None:
    path = path_of(finished.out)
    runs = [path / "run", *(path / "seeds" / seed / "run" for seed in ("1", "2"))]
    settings = [load_yaml(each / "config.yaml").values for each in runs]
    assert [each["seed"] for each in settings] == [0, 1, 2]
    assert all(each | {"seed": 0, "out": ""} == settings[0] | {"out": ""} for each in settings)
    plans = [json.loads((each / "plan.json").read_text()) for each in runs]
    assert plans[0] == plans[1] == plans[2]
    assert len({weights(each) for each in runs}) == 3


def test_each_answers_the_same_test_rows_and_the_score_is_their_mean(finished: Outcome) -> None:
    files = answer_files(finished.out, "finetune")
    assert len(files) == 3 and all(file.is_file() for file in files)
    answers = [read_answers(file) for file in files]
    assert len({tuple(answer["id"] for answer in each) for each in answers}) == 1
    assert len({each[0]["model"] for each in answers}) == 3
    scores = np.array([scores_of(each) for each in answers])
    (path,) = finished.choice["paths"]
    assert path["score"] == pytest.approx(scores.mean())
    groups = [answer["id"] for answer in answers[0]]
    interval = seeded_mean_interval(scores, groups)
    assert path["ci"] == pytest.approx([interval.low, interval.high])
    assert [each["score"] for each in path["seeds"]] == pytest.approx(list(scores.mean(1)))
    assert [each["seed"] for each in path["seeds"]] == [0, 1, 2]


def test_the_one_with_the_best_dev_score_is_served_and_each_can_be(finished: Outcome) -> None:
    path = path_of(finished.out)
    trainings = kept_seeds(path)
    best = max(trainings, key=lambda each: each["dev_score"])
    assert [each["served"] for each in trainings] == [each is best for each in trainings]
    assert PathConfig.load(path).adapter == best["adapter"]
    served = open_model(str(finished.out), "finetune")
    answers = read_answers(finished.out / "answers" / "finetune.jsonl")
    replies = served.generator.generate(
        [[{"role": "user", "content": each["question"]}] for each in answers[:3]], served.config.sampling
    )
    assert [reply.text for reply in replies] == [answer["text"] for answer in answers[:3]]
    assert open_model(str(path / "seeds" / "1")).config.adapter == "run/adapter"


def test_another_one_is_served_when_it_is_better_on_dev_rows(
    finished: Outcome, task: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds that come in later: only they are trained, and answers of the one that was served stay its own."""
    shutil.copytree(choose.run(config(task, base, tmp_path / "one")).out, tmp_path / "copy")
    before = read_answers(tmp_path / "one" / "answers" / "finetune.jsonl")
    monkeypatch.setattr(seeds.Seeds, "_dev_score", lambda self, name, given, folder, seed: {0: 0.1, 1: 0.9}[seed])
    outcome = choose.run(config(task, base, tmp_path / "one", seeds=2))
    path = path_of(outcome.out)
    assert (path / "run" / "result.json").read_bytes() == (
        path_of(tmp_path / "copy") / "run" / "result.json"
    ).read_bytes()
    assert PathConfig.load(path).adapter == "seeds/1/run/adapter"
    assert read_answers(outcome.out / "answers" / "finetune.seed-0.jsonl") == before
    assert [each["served"] for each in outcome.choice["paths"][0]["seeds"]] == [False, True]
    served = read_answers(outcome.out / "answers" / "finetune.jsonl")
    assert served[0]["model"] != before[0]["model"]


@pytest.mark.parametrize("where", ["_train", "_serve_the_best", "_measure"])
def test_a_run_that_was_killed_goes_on_to_the_same(
    finished: Outcome, task: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    work, calls = getattr(seeds.Seeds, where), []

    def killed(self: seeds.Seeds, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == (1 if where == "_serve_the_best" else 2):
            raise KeyboardInterrupt
        return work(self, *arguments)

    shutil.copytree(path_of(finished.out) / "run", tmp_path / "first")
    settings = config(task, base, tmp_path / "run", seeds=3)
    with monkeypatch.context() as patch:
        patch.setattr(seeds.Seeds, where, killed)
        with pytest.raises(KeyboardInterrupt):
            choose.run(settings)
    with pytest.raises(DataError, match="not measured yet"):
        rescore(tmp_path / "run")
    done = {file: file.stat().st_mtime_ns for file in path_of(tmp_path / "run").rglob("adapter_model.safetensors")}
    outcome = choose.run(settings)
    assert all(file.stat().st_mtime_ns == time for file, time in done.items()), "trained again"
    assert [each["seed"] for each in outcome.choice["paths"][0]["seeds"]] == [0, 1, 2]
    assert sum(each["served"] for each in outcome.choice["paths"][0]["seeds"]) == 1
    again = choose.run(settings)
    assert again.choice == outcome.choice


def test_rescoring_scores_every_training(finished: Outcome, task: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished.out, tmp_path / "run"))
    own = Path(shutil.copytree(task, tmp_path / "task"))
    settings = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(settings.replace(str(task), str(own)))
    same = rescore(copy).choice
    assert same["paths"][0]["seeds"] == finished.choice["paths"][0]["seeds"]
    (own / "task.yaml").write_text((own / "task.yaml").read_text().replace("regex", "exact"))
    (path,) = rescore(copy).choice["paths"]
    assert [each["score"] for each in path["seeds"]] == [0.0] * 3 and path["score"] == 0
    assert path["ci"][1] > 0


def test_one_seed_leaves_no_trace(task: Path, base: Path, tmp_path: Path) -> None:
    outcome = choose.run(config(task, base, tmp_path / "run"))
    assert "seeds" not in outcome.choice["paths"][0]
    assert not (path_of(outcome.out) / "seeds.json").exists()


def test_a_path_of_two_trainings_is_trained_again_in_both(task: Path, base: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(task, tmp_path / "task"))
    prompts = [f"where is the {n * 7919} ship" for n in range(30)]
    pairs = [{"prompt": prompt, "chosen": "north", "rejected": "somewhere else"} for prompt in prompts]
    tiny_folders.write_rows(own / "preferences.jsonl", pairs)
    outcome = choose.run(config(own, base, tmp_path / "run", paths=["finetune+dpo"], seeds=2))
    path = tmp_path / "run" / "paths" / "finetune+dpo"
    again = path / "seeds" / "1"
    for stage in ("run", "dpo"):
        assert load_yaml(again / stage / "config.yaml").values["seed"] == 1
        assert (again / stage / "plan.json").read_bytes() == (path / stage / "plan.json").read_bytes()
        assert weights(again / stage) != weights(path / stage)
    assert load_yaml(again / "dpo" / "config.yaml").values["base"] == str(again / "run")
    assert PathConfig.load(again).adapter == "dpo/adapter"
    assert [each["seed"] for each in outcome.choice["paths"][0]["seeds"]] == [0, 1]


def test_a_path_that_was_begun_with_more_seeds_is_finished_without_them(
    task: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: seeds.Seeds, name: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(seeds.Seeds, "_serve_the_best", killed)
        with pytest.raises(KeyboardInterrupt):
            choose.run(config(task, base, tmp_path / "run", seeds=2))
    outcome = choose.run(config(task, base, tmp_path / "run"))
    assert [each["seed"] for each in outcome.choice["paths"][0]["seeds"]] == [0, 1]
    assert sum(each["served"] for each in outcome.choice["paths"][0]["seeds"]) == 1
