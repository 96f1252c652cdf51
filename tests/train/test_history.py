"""What a run measured, read back from its folder."""

import json

import pytest

from sartor.base.errors import DataError
from sartor.train.history import History, read_history
from tests.train import made_up_alignment
from tests.train.made_up_runs import OVERFITTED, SETTINGS, result_of, run_folder


def test_a_finished_run_is_read_whole(tmp_path):
    run = run_folder(tmp_path / "run", OVERFITTED, result_of(OVERFITTED))
    history = read_history(run.path)
    assert history.steps == history.planned_steps == 100 and history.finished
    assert history.dev_loss_before == 3.0
    assert history.dev_loss == [(each["step"], each["dev_loss"]) for each in OVERFITTED if "dev_loss" in each]
    assert history.best_value == min(value for _, value in history.dev_loss)


def test_timing_stands_beside_the_metrics_of_its_step(tmp_path):
    run = run_folder(tmp_path / "run", OVERFITTED[:3], None)
    (run.path / "timing.jsonl").write_text('{"step": 1, "seconds": 2.5, "loss": 99}\n{"step": 3, "seconds": 6.0}\n')
    history = read_history(run.path)
    assert history.series("seconds") == [(1, 2.5), (3, 6.0)]
    assert history.series("loss")[0] == (1, OVERFITTED[0]["loss"])


@pytest.mark.parametrize(("best_by", "step"), [("loss", 20), ("score", 30)])
def test_the_best_of_a_run_that_goes_on_is_what_it_goes_by(tmp_path, best_by, step):
    measured = [(10, 2.0, 0.1), (20, 1.5, 0.2), (30, 1.8, 0.6)]
    metrics = [{"step": step, "loss": 1.0, "dev_loss": loss, "dev_score": score} for step, loss, score in measured]
    run = run_folder(tmp_path / "run", metrics, None, SETTINGS | {"best_by": best_by})
    assert read_history(run.path).best_step == step


@pytest.mark.parametrize(("last_loss", "step"), [(1.4, 30), (1.8, 20)])
def test_of_equal_scores_the_best_is_the_one_with_the_lower_loss_then_the_earlier(tmp_path, last_loss, step):
    measured = [(10, 2.0, 0.6), (20, 1.8, 0.6), (30, last_loss, 0.6)]
    metrics = [{"step": step, "loss": 1.0, "dev_loss": loss, "dev_score": score} for step, loss, score in measured]
    run = run_folder(tmp_path / "run", metrics, None, SETTINGS | {"best_by": "score"})
    assert read_history(run.path).best_step == step


def test_smoothing_weighs_by_tokens_and_reaches_to_both_sides():
    records = [
        {"step": step, "loss": float(step == 3), "trained_tokens": 30 if step == 3 else 10} for step in range(1, 6)
    ]
    smoothed = dict(History(records).train_loss)
    assert smoothed[3] == pytest.approx(30 / 70) and smoothed[1] == pytest.approx(30 / 50)


def test_what_is_no_number_is_in_no_series():
    records = [{"step": 1, "loss": "NaN", "flag": True}, {"step": 2, "loss": 1.5, "note": "x"}]
    history = History(records)
    assert history.names() == ["step", "loss"] and history.series("loss") == [(2, 1.5)]


@pytest.mark.parametrize("line", ["{]\n", "[1]\n", '{"loss": 1.0}\n'])
def test_damage_is_one_line(tmp_path, line):
    run = run_folder(tmp_path / "run", OVERFITTED[:2], None)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write(line)
    with pytest.raises(DataError, match=r"metrics\.jsonl"):
        read_history(run.path)
    (run.path / "metrics.jsonl").unlink()
    (run.path / "plan.json").write_text(json.dumps([1]))
    with pytest.raises(DataError, match=r"plan\.json: is not a JSON object"):
        read_history(run.path)


def test_alignment_is_judged_by_its_own_figure(tmp_path):
    for kind, name in (
        ("reward", "dev_accuracy"),
        ("dpo", "dev_accuracy"),
        ("ppo", "dev_reward"),
        ("grpo", "dev_reward"),
    ):
        metrics = made_up_alignment.records(kind, 60)
        run = made_up_alignment.alignment_run(
            tmp_path / kind, kind, metrics, made_up_alignment.result_of(kind, metrics)
        )
        history = read_history(run.path)
        assert history.kind == kind and history.aligns and history.outcome_name == name
        assert history.outcome == next(each[name] for each in metrics if each["step"] == history.best_step)
        assert history.before[name] in (0.512, 0.2)


def test_figures_before_training_are_those_of_the_plan(tmp_path):
    plan = {"num_steps": 100, "before": {"dev_loss": 2.5, "dev_accuracy": 0.5}}
    history = read_history(run_folder(tmp_path / "run", OVERFITTED, result_of(OVERFITTED), plan=plan).path)
    assert history.before == {"dev_loss": 2.5, "dev_accuracy": 0.5} and history.dev_loss_before == 2.5


def test_a_policy_that_still_learns_is_best_where_its_reward_is_highest(tmp_path):
    metrics = [
        {"step": step, "reward": 0.0, "dev_reward": reward} for step, reward in ((10, 0.2), (20, 0.9), (30, 0.4))
    ]
    run = made_up_alignment.alignment_run(tmp_path / "run", "grpo", metrics, None)
    history = read_history(run.path)
    assert history.best_step == 20 and history.outcome == 0.9 and not history.finished


def test_the_last_figure_of_answers_is_the_one_of_fresh_draws() -> None:
    records = [{"step": 5, "dev_reward": 1.5}, {"step": 10, "dev_reward": 1.25}]
    history = History(records, best_step=5, kind="grpo", result={"dev_reward": 1.375})
    assert history.outcome == 1.375
    assert History(records, best_step=5, kind="grpo").outcome == 1.5  # of a run that has not ended
