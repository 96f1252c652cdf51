"""What a step takes beside its tokens counts where the time is short, and trying it changes nothing."""

import json
import time
from pathlib import Path

import pytest
import torch

from sartor.recipes import pretrain_course, pretrain_trial
from sartor.recipes.pretrain import PretrainConfig, run
from sartor.recipes.pretrain_model import Beginning
from sartor.recipes.pretrain_settings import PretrainSettings
from sartor.recipes.pretrain_speed import PretrainSpeed, measure_speed
from sartor.recipes.pretrain_trial import trial_speed
from sartor.train.horizon import Course, Wishes, plan_course
from sartor.train.optimizer import Optimizer
from sartor.train.running_text import running_text_loss
from tests import tiny_folders

SLOW = PretrainSpeed(token_seconds=1e-4, update_seconds=0.5)
SMALL = PretrainSettings(data=["-"], preset="1m", vocabulary=512, window_tokens=16, micro_batch_tokens=64)


def course_of(most_tokens: int | None) -> Course:
    return plan_course(10**7, 10**8, 512, Wishes(most_tokens=most_tokens))


@pytest.mark.parametrize("seconds", [30.0, 600.0, 5000.0, 19_000.0])
def test_a_course_keeps_its_time_and_uses_it(seconds: float) -> None:
    course = SLOW.course_within(seconds, course_of)
    assert 0.75 * seconds < SLOW.seconds(course) <= seconds
    assert SLOW.seconds(course) == pytest.approx(course.tokens * 1e-4 + course.num_steps * 0.5)
    assert SLOW.tokens_per_second(course) == pytest.approx(course.tokens / SLOW.seconds(course))


def test_without_a_limit_or_with_time_enough_nothing_is_cut() -> None:
    assert SLOW.course_within(None, course_of) == SLOW.course_within(1e9, course_of) == course_of(None)


@pytest.mark.parametrize("seconds", [0.1, 0.0, -50.0])
def test_there_is_one_step_however_short_the_time(seconds: float) -> None:
    assert SLOW.course_within(seconds, course_of).num_steps == 1


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "adamw8bit"])
def test_trying_the_speed_counts_updates_and_leaves_the_weights(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, updates = Optimizer.step, []

    def slow_step(self: Optimizer, learning_rate: float) -> None:
        updates.append(learning_rate)
        time.sleep(0.5)
        own(self, learning_rate)

    monkeypatch.setattr(Optimizer, "step", slow_step)
    config = SMALL.model_copy(update={"optimizer": optimizer})
    model = Beginning.of(config).model_of(512)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    batch = pretrain_trial._random_windows(512, 16, 64)
    speed = measure_speed(config, model, [batch, batch], running_text_loss(0.0))
    assert updates == [0.0, 0.0] and speed.update_seconds >= 0.5 > 64 * speed.token_seconds > 0
    for name, weight in model.named_parameters():
        assert weight.grad is None and torch.equal(weight, before[name])


def test_the_speed_of_a_size_includes_its_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrain_trial, "measure_speed", lambda *given: PretrainSpeed(1e-3, 1.0))
    settings = SMALL.model_copy(update={"batch_tokens": 1024})
    assert trial_speed(settings) == pytest.approx(1024 / (1.024 + 1.0))


@pytest.fixture
def texts(tmp_path: Path) -> str:
    rows = [{"id": f"text {n}", "text": "red green blue white " * 30} for n in range(20)]
    tiny_folders.write_rows(tmp_path / "texts.jsonl", rows)
    return str(tmp_path / "texts.jsonl")


def test_the_minutes_of_a_run_hold_its_updates_and_what_came_before(
    texts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """31 steps of 256 tokens take 31 · (128 + 100) s; the clock is said to have run for 1,000 s before them."""
    own, shift = pretrain_course.measure_speed, [0.0]
    now = time.monotonic

    def speed(*given: object) -> PretrainSpeed:
        own(*given)  # type: ignore[arg-type]
        shift[0] = 1000.0
        return PretrainSpeed(token_seconds=0.5, update_seconds=100.0)

    monkeypatch.setattr(pretrain_course, "measure_speed", speed)
    monkeypatch.setattr(time, "monotonic", lambda: now() + shift[0])
    settings = PretrainConfig(
        data=[texts], out=str(tmp_path / "run"), preset="1m", vocabulary=512, window_tokens=32, batch_tokens=256,
        tokens="8k", evaluations=1, evaluation_tokens=64, sample_prompts=[], max_minutes=100.0,
    )  # fmt: skip
    result = run(settings)
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["seconds"] + 1000 <= 6000 and result.steps == (6000 - 1000 - 60) // 228
    assert plan["course"]["derived"][0]["source"] == "what the time allows"


def test_a_dry_run_keeps_the_time_too_and_tells_of_too_large_a_step(
    texts: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pretrain_trial, "measure_speed", lambda *given: PretrainSpeed(1e-3, 1.0))
    settings = SMALL.model_copy(update={"data": [texts], "batch_tokens": 1024, "max_minutes": 0.1})
    assert pretrain_trial.try_pretraining(settings).seconds <= 6.0
    assert capsys.readouterr().err == ""
    larger = settings.model_copy(update={"batch_tokens": 8192, "tokens": "2k"})
    assert pretrain_trial.try_pretraining(larger).course.num_steps == 1
    assert "one step reads 8,192 tokens, more than the 2,000" in capsys.readouterr().err
