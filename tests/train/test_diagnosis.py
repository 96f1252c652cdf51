"""What is said about made-up runs: overfitted, underfitted, unstable, good, too short to tell."""

import pytest

from sartor.train.diagnosis import Diagnosis, diagnose, gap_sentence
from sartor.train.history import History
from tests.train import made_up_alignment, made_up_runs
from tests.train.made_up_runs import falling, records


def judged(metrics: list[dict[str, float]], before: float | None = 3.0, best_step: int | None = None) -> Diagnosis:
    lowest = min(((each["dev_loss"], each["step"]) for each in metrics if "dev_loss" in each), default=(0, None))[1]
    step = best_step if best_step is not None or lowest is None else int(lowest)
    return diagnose(History(metrics, dev_loss_before=before, best_step=step, planned_steps=len(metrics)))


@pytest.mark.parametrize(
    ("metrics", "verdict"),
    [
        (made_up_runs.OVERFITTED, "overfitted"),
        (made_up_runs.LEVELLED, "levelled off"),
        (made_up_runs.STILL_LEARNING, "still learning"),
        (made_up_runs.UNSTABLE, "unstable"),
        (made_up_runs.NOTHING_LEARNT, "nothing learnt"),
        (made_up_runs.FAR_APART, "levelled off"),
        (made_up_runs.SHORT, "too short to tell"),
        (records(5, falling, falling), "too short to tell"),
        ([], "too short to tell"),
    ],
)
def test_each_shape_has_its_verdict(metrics, verdict):
    assert judged(metrics).verdict == verdict


def test_overfitting_is_told_with_its_numbers_and_what_to_do():
    told = judged(made_up_runs.OVERFITTED)
    dev = {each["step"]: each["dev_loss"] for each in made_up_runs.OVERFITTED if "dev_loss" in each}
    low, step = min((value, step) for step, value in dev.items())
    assert told.rise == pytest.approx(dev[100] - low)
    assert f"rose from {low:.3f} at step {step} to {dev[100]:.3f} at step 100 ({dev[100] - low:+.3f}" in told.seen
    assert "by heart" in told.meaning and f"weights of step {step} were kept, from before the rise" in told.meaning
    for advice in ("more rows", "fewer epochs", "smaller learning rate"):
        assert advice in told.advice


def test_the_gap_is_held_out_minus_training_loss():
    told = judged(made_up_runs.FAR_APART)
    at_end = falling(200) - falling(195, floor=0.01)  # the middle of the last window of training losses
    assert told.gap_at_end == pytest.approx(at_end, abs=0.01)
    assert told.gap_at_best is not None and f"{told.gap_at_best:+.3f}" in gap_sentence(told)
    assert "More rows would narrow that gap" in told.advice


def test_without_a_gap_nothing_is_called_learnt_by_heart():
    told = judged(records(100, lambda step: falling(step) + 0.5, falling))
    assert told.gap_at_end is not None and told.gap_at_end < 0
    assert "predicted no worse than training rows" in gap_sentence(told)


def test_a_rise_within_noise_is_none():
    dev = [1.0 + 2 * (step < 30) + 0.015 * (step > 70) for step in range(101)]
    assert judged(records(100, falling, lambda step: dev[step])).verdict == "levelled off"


def test_weights_from_elsewhere_are_told():
    told = judged(made_up_runs.OVERFITTED, best_step=90)
    assert told.verdict == "overfitted" and "step 90 were kept, which is not where" in told.meaning


def test_underfitting_says_that_more_epochs_would_help_and_where_it_was_halted():
    history = History(made_up_runs.STILL_LEARNING, dev_loss_before=3.0, best_step=50, planned_steps=400)
    told = diagnose(history)
    assert "still falling at the end" in told.seen and "stopped at step 50 of 400" in told.seen
    assert "More epochs" in told.advice


def test_training_without_held_out_rows_is_not_judged():
    told = judged([{"step": step, "loss": 1.0} for step in range(1, 100)])
    assert told.verdict == "too short to tell" and told.seen.startswith("No held-out loss was measured")
    assert gap_sentence(told) == ""


def test_a_slow_fall_at_a_high_loss_is_learning_still():
    falls = records(80, lambda step: 6.0 - step / 200, lambda step: 6.0 - step / 200)
    assert judged(falls, before=6.0).verdict == "still learning"  # 0.1 in the last quarter, less than 2 % of the loss


def judged_by_reward(course, before: float | None = 0.2, steps: int = 100, best_step: int | None = None) -> Diagnosis:
    metrics = [{"step": step, "reward": course(step), "reward_deviation": 0.4} for step in range(1, steps + 1)]
    for record in metrics[9::10]:
        record["dev_reward"] = course(record["step"])
    known = {} if before is None else {"dev_reward": before}
    return diagnose(History(metrics, kind="grpo", before=known, best_step=best_step))


@pytest.mark.parametrize(
    ("course", "verdict"),
    [
        (lambda step: 0.7 - 0.5 * falling(step, 1, 0, 20), "levelled off"),
        (lambda step: 0.2 + 0.005 * step, "still learning"),
        (lambda step: 0.2 + 0.02 * min(step, 40) - 0.01 * max(0, step - 40), "unstable"),
        (lambda step: 0.2 + 0.0002 * step, "nothing learnt"),
        (lambda step: 0.2 - 0.0002 * step, "nothing learnt"),
    ],
)
def test_a_policy_is_judged_by_its_held_out_reward(course, verdict):
    assert judged_by_reward(course).verdict == verdict


def test_a_reward_that_fell_is_told_with_what_was_kept():
    told = judged_by_reward(lambda step: 0.2 + 0.02 * min(step, 40) - 0.01 * max(0, step - 40), best_step=40)
    assert "highest at step 40 (1.000) and fell to 0.400 by step 100" in told.seen
    assert "weights of step 40 were kept, from before the fall" in told.meaning and "KL" in told.advice


def test_two_evaluations_do_not_judge_but_the_sampled_rewards_are_told():
    told = judged_by_reward(lambda step: 0.2 + 0.02 * step, steps=20)
    assert told.verdict == "too short to tell"
    assert "only twice" in told.seen and "sampled answers went from 0.240 to 0.580" in told.seen


def test_a_reward_model_is_judged_by_its_loss():
    metrics = made_up_alignment.records("reward", 200)
    assert diagnose(History(metrics, kind="reward", before={}, dev_loss_before=0.69)).verdict == "levelled off"
