"""`sartor ppo|grpo --dry-run`: what it counts, what it foretells, and what it says when it does not fit."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import DataError
from sartor.base.peak_memory import PeakMemory
from sartor.cli import rewarded
from sartor.cli.main import main
from sartor.recipes import ppo, rl_plan
from sartor.recipes.grpo import GrpoConfig
from sartor.recipes.rl import Parts
from sartor.recipes.rl_measuring import TrialSource, measure, worst_source
from sartor.recipes.rl_methods import grpo_method, ppo_method
from sartor.recipes.rl_plan import BatchSeconds, MeasuredRollouts, plan_rollouts, whole_run
from tests.recipes.prompts import grpo_config, ppo_config, write

PHASES = {"start", "sampling", "learning", "evaluation", "checkpoint", "result"}
ROWS = [{"prompt": f"the colour of {n}" + " cat" * (n % 9)} for n in range(24)]


def made_up(**changed: Any) -> MeasuredRollouts:
    usual: dict[str, Any] = {
        "device": "cpu", "parameters": 1000, "trained_parameters": 10, "prompts": 60, "held_out_prompts": 4,
        "batches_per_epoch": 10, "available_bytes": 2_000, "phases": {"start": 500, "learning": 1_500},
        "worst": BatchSeconds(8.0, 3.0, 960), "usual": BatchSeconds(2.0, 1.0, 200), "start_seconds": 5.0,
        "evaluation_seconds": 4.0, "checkpoint_seconds": 0.5, "result_seconds": 0.25, "checkpoint_bytes": 7,
        "result_bytes": 3,
    }  # fmt: skip
    return MeasuredRollouts(**(usual | changed))


def test_the_whole_run_by_hand(tmp_path: Path) -> None:
    config = ppo_config("base", tmp_path / "rows.jsonl", epochs=2.0, evaluations=4, passes=3, minibatches=2)
    plan = whole_run(config, made_up())
    assert (plan.batches, plan.steps, plan.evaluations, plan.fits) == (20, 20 * 6, 4, True)
    apart = 5.0 + 0.25 + 4 * 0.5 + (4 + 2) * 4.0
    assert plan.seconds == pytest.approx(apart + 20 * (2 + 3 * 1))
    assert plan.seconds_most == pytest.approx(apart + 20 * (8 + 3 * 3))


def test_a_limit_of_minutes_is_kept_to(tmp_path: Path) -> None:
    config = ppo_config("base", tmp_path / "rows.jsonl", epochs=20.0, evaluations=4, passes=3, max_minutes=1.0)
    plan = whole_run(config, made_up())
    # a fifth of a minute is two evaluations of 4 s and the last one; in the other 48 s are nine batches of 5 s
    assert (plan.batches, plan.evaluations) == (9, 2)


def test_what_is_free_decides(tmp_path: Path) -> None:
    config = ppo_config("base", tmp_path / "rows.jsonl")
    assert whole_run(config, made_up(available_bytes=1_500)).fits
    assert not whole_run(config, made_up(available_bytes=1_499)).fits


def test_what_is_measured_is_the_run_in_small(base: Path, tmp_path: Path) -> None:
    settings = ppo_config(base, write(tmp_path, ROWS), minibatches=2, epochs=1.0)
    found = measure(settings, ppo_method(settings), time.time(), tmp_path / "trial")
    assert set(found.phases) == PHASES and found.peak_bytes == max(found.phases.values()) < found.available_bytes
    assert found.worst.answer_tokens == 6 * 2 * 8, "every answer of the worst batch has its full length"
    assert 0 < found.usual.answer_tokens <= found.worst.answer_tokens
    for each in (found.worst, found.usual):
        assert each.sampling > 0 and each.learning > 0
    assert found.evaluation_seconds > 0 and found.checkpoint_seconds > 0
    plan = whole_run(settings, found)
    result = ppo.run(settings)
    certificate = json.loads((result.out / "certificate.json").read_text())
    assert (plan.steps, found.held_out_prompts) == (result.steps, certificate["held_out_prompts"])
    assert certificate["held_out_prompts_answered"] == len(_held_out(result.out)) == 4
    assert found.prompts == certificate["prompts"]
    adapter = sum(path.stat().st_size for path in result.trained.iterdir())
    assert found.result_bytes == pytest.approx(adapter, rel=0.05)
    newest = max((result.out / "checkpoints").glob("step-*"), key=lambda path: path.stat().st_mtime)
    saved = sum(path.stat().st_size for path in newest.rglob("*") if path.is_file())
    assert found.checkpoint_bytes == pytest.approx(saved, rel=0.25)


def _held_out(run: Path) -> list[float]:
    scores: list[float] = json.loads((run / "held_out_rewards.json").read_text())["after"]
    return scores


def test_the_worst_batch_has_the_longest_prompts_and_full_answers(base: Path, tmp_path: Path) -> None:
    settings = grpo_config(base, write(tmp_path, ROWS))
    method = grpo_method(settings)
    parts = Parts.of(settings, method)
    source = worst_source(parts, method)
    lengths = sorted(len(each.ids) for each in parts.prepared.train)
    assert sorted(len(each.ids) for each in source.prompts) == lengths[-6:]
    source.step(0)
    assert {each.length for each in source.episodes} == {8} and not any(each.finished for each in source.episodes)
    assert parts.actors.chat.stop_ids, "the run's own stop ids stay"


def test_each_phase_is_told_apart(base: Path, tmp_path: Path) -> None:
    settings = grpo_config(base, write(tmp_path, ROWS), batch_rows=6, minibatches=3)
    method = grpo_method(settings)
    parts = Parts.of(settings, method)
    ended: list[str] = []

    class Peak(PeakMemory):
        def end(self, phase: str) -> None:
            ended.append(phase)

    source = TrialSource(worst_source(parts, method), worst_source(parts, method), Peak(parts.model.device))
    assert source.num_steps == 6
    parts.model.train()
    for step in range(6):
        assert source.step(step)
    source.end_learning()
    assert ended == ["sampling", "learning", "sampling", "learning"]
    assert source.seconds(0).answer_tokens == source.seconds(1).answer_tokens == 6 * 3 * 8


def test_the_command_in_a_process_of_its_own(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    command = f"grpo rows.jsonl --base {base} --out run --reward length:4 --batch-rows 4 --lora-rank 2"
    assert main([*command.split(), "--max-new-tokens", "6", "--dry-run", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["fits"] and set(told["measured"]["phases"]) == PHASES
    assert told["peak_bytes"] == max(told["measured"]["phases"].values())
    assert told["seconds_most"] >= told["seconds"] > 0 and told["steps"] == told["batches"]
    assert not (tmp_path / "run").exists()


def test_for_people_and_where_it_does_not_fit(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ppo", str(write(tmp_path)), "--base", str(base), "--out", str(tmp_path / "run"), "--reward", "length:4"]

    def planned(available: int) -> None:
        found = made_up(available_bytes=available)
        monkeypatch.setattr(rewarded, "plan_rollouts", lambda config: whole_run(config, found))

    planned(2_000)
    assert main([*command, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "peak of learning" in said and "verdict     it fits into" in said and "longest batch: sampling 8" in said
    planned(1_000)
    assert main([*command, "--dry-run"]) == 4
    captured = capsys.readouterr()
    assert "verdict     it does not fit into" in captured.out and "error: the run does not fit" in captured.err
    monkeypatch.setattr(rl_plan, "measured_apart", lambda program, request: None)
    monkeypatch.setattr(rewarded, "plan_rollouts", plan_rollouts)
    assert main([*command, "--dry-run"]) == 4
    assert "not even one batch" in capsys.readouterr().out


def test_what_the_run_would_refuse_is_refused(base: Path, tmp_path: Path) -> None:
    settings = GrpoConfig(
        **{**grpo_config(base, write(tmp_path)).model_dump(), "max_row_tokens": 12, "sinks": []}  # type: ignore[arg-type]
    )
    with pytest.raises(DataError, match="leaves room for an answer"):
        plan_rollouts(settings)
