"""Run folders on a disk: found, told apart, and removed only if they are what they seem."""

import contextlib
import os

import pytest

from sartor.base.errors import Interrupted, SartorError, UsageError
from sartor.base.run_folder import RunFolder
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.runs import (
    differing,
    find_runs,
    folder_bytes,
    is_run,
    noting_failure,
    read_run,
    remove_checkpoints,
    remove_run,
    summarise,
    unlike_defaults,
)
from tests.train import made_up_alignment
from tests.train.made_up_runs import OVERFITTED, SETTINGS, result_of, run_folder


def made(folder, finished=True, **options):
    return run_folder(folder, OVERFITTED, result_of(OVERFITTED) if finished else None, **options)


def choice_run(folder):
    """A finished choice."""
    run = run_folder(folder, [], None, {"task": "ships", "budget": "2m", "base": "starter"}, plan={})
    paths = [{"name": "rag", "score": 0.7}, {"name": "prompt", "score": 0.4}]
    run.write_json("choice.json", {"choice": "rag", "paths": paths, "how": {"rows_train": 40, "seconds_total": 90.0}})
    for name in ("certificate.json", "environment.json", "plan.json"):
        (run.path / name).unlink()
    return run


def test_runs_are_found_here_and_in_runs_but_not_inside_of_each_other(tmp_path):
    for place in ("a", "runs/b", "a/paths/finetune/run", "deep/er/c"):
        made(tmp_path / place)
    (tmp_path / "no-run").mkdir()
    (tmp_path / "no-run" / "config.yaml").write_text("a: 1\n")
    for age, place in enumerate(("runs/b", "a")):
        os.utime(tmp_path / place / "config.yaml", (1000 + age, 1000 + age))
    assert find_runs(tmp_path) == [tmp_path / "runs/b", tmp_path / "a"]
    assert find_runs(tmp_path / "a") == [tmp_path / "a"]
    assert not is_run(tmp_path / "no-run") and find_runs(tmp_path / "no-run") == []
    with pytest.raises(UsageError, match="no such folder"):
        find_runs(tmp_path / "nowhere")


def test_a_line_says_what_a_training_run_came_to(tmp_path):
    run = made(tmp_path / "run")
    found = summarise(run.path)
    assert (found.kind, found.state, found.base, found.rows, found.steps) == (
        "finetune", "finished", "org/small-model", 158, 100,
    )  # fmt: skip
    assert found.dev_loss == min(each["dev_loss"] for each in OVERFITTED if "dev_loss" in each)
    assert found.seconds == 125.0 and found.score is None
    assert found.size_bytes == sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())


def test_a_line_says_what_a_choice_came_to(tmp_path):
    found = summarise(choice_run(tmp_path / "run").path)
    assert (found.kind, found.state, found.rows, found.choice, found.score, found.seconds) == (
        "choose", "finished", 40, "rag", 0.7, 90.0,
    )  # fmt: skip


def test_states(tmp_path):
    run = made(tmp_path / "run", finished=False)
    assert summarise(run.path).state == "interrupted"
    with RunFolder.open(run.path):
        assert summarise(run.path).state == "running"
    with RunFolder.open(run.path) as folder, contextlib.suppress(SartorError), noting_failure(folder):
        raise SartorError("the loss became nan", where="row 3")
    record = read_run(run.path)
    assert record.summary.state == "failed" and record.failure == "row 3: the loss became nan"
    with RunFolder.open(run.path) as folder, contextlib.suppress(Interrupted), noting_failure(folder):
        raise Interrupted("stopped")
    assert summarise(run.path).state == "interrupted"


def test_an_error_while_telling_of_a_failure_does_not_hide_it(tmp_path, monkeypatch):
    run = made(tmp_path / "run", finished=False)

    def full(*arguments):
        raise SartorError("the disk is full")

    monkeypatch.setattr(RunFolder, "write_json", full)
    with pytest.raises(ZeroDivisionError), noting_failure(run):
        _ = 1 / 0


def test_settings_that_were_given_and_that_differ():
    values = {"data": "rows.jsonl", "epochs": 3.0, "seed": 7, "of_a_newer_version": 1}
    assert unlike_defaults(values, FinetuneConfig) == {"data": "rows.jsonl", "seed": 7, "of_a_newer_version": 1}
    assert differing([{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "c": 0}]) == {
        "b": [2, 3, None],
        "c": [None, None, 0],
    }


def test_a_removed_run_is_gone_and_its_bytes_are_told(tmp_path):
    run, other = made(tmp_path / "run"), made(tmp_path / "other")
    size = folder_bytes(run.path)
    assert remove_run(run.path) == pytest.approx(size, abs=200)  # the lock's own text comes and goes
    assert [path.name for path in tmp_path.iterdir()] == ["other"] and is_run(other.path)


def test_only_checkpoints_go_when_only_they_are_to(tmp_path):
    run = made(tmp_path / "run")
    with RunFolder.open(run.path) as folder:
        folder.save_checkpoint(5, {"weights": b"x" * 1000})
    before = {path.name for path in run.path.iterdir()}
    assert remove_checkpoints(run.path) > 1000
    assert {path.name for path in run.path.iterdir()} == before - {"checkpoints", "latest"}
    assert remove_checkpoints(run.path) == 0


@pytest.mark.parametrize("remove", [remove_run, remove_checkpoints])
def test_what_must_not_be_removed_stays(tmp_path, remove):
    run = made(tmp_path / "run")
    (tmp_path / "link").symlink_to(run.path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("notes")
    with pytest.raises(UsageError, match="is a link to a run"):
        remove(tmp_path / "link")
    with pytest.raises(UsageError, match="is not a run folder"):
        remove(tmp_path / "mine")
    with RunFolder.open(run.path), pytest.raises(SartorError, match="is using this run folder"):
        remove(run.path)
    assert is_run(run.path) and (tmp_path / "mine" / "notes.txt").is_file() and SETTINGS


@pytest.mark.parametrize(
    ("kind", "name"),
    [("reward", "dev_accuracy"), ("dpo", "dev_accuracy"), ("ppo", "dev_reward"), ("grpo", "dev_reward")],
)
def test_a_line_says_what_alignment_came_to(tmp_path, kind, name):
    metrics = made_up_alignment.records(kind, 60)
    result = made_up_alignment.result_of(kind, metrics)
    found = summarise(made_up_alignment.alignment_run(tmp_path / "run", kind, metrics, result).path)
    assert (found.kind, found.state, found.rows, found.score) == (kind, "finished", 158, None)
    assert found.outcome_name == name and found.outcome == result[name]
    assert found.dev_loss == result.get("dev_loss")


def test_pairs_are_counted_as_pairs_and_alarms_are_found(tmp_path):
    metrics = made_up_alignment.records("reward", 100, accuracy=lambda step: 0.5)
    run = made_up_alignment.alignment_run(tmp_path / "run", "reward", metrics, None)
    run.write_json("certificate.json", {"pairs": 40, "rows": 80})
    record = read_run(run.path)
    assert record.summary.rows == 40 and [alarm.name for alarm in record.alarms] == ["accuracy at chance"]
    assert read_run(made(tmp_path / "other").path).alarms == []
