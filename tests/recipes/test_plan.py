"""`sartor plan` on a tiny model: what it counts, what it foretells, and what it says when it does not fit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import DataError
from sartor.cli.main import main
from sartor.recipes import plan as module
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.finetune import run as finetune
from sartor.recipes.measured import Measured, try_run
from sartor.recipes.plan import PlanConfig, changes, estimate, parse_bytes
from sartor.recipes.step_count import schedule
from tests import tiny_folders

ROWS = [{"question": f"the colour of {n * 7919}" + " cat" * (n % 20), "answer": "red" * (1 + n % 3)} for n in range(48)]
SETTINGS: dict[str, Any] = {"batch_rows": 8, "micro_batch_tokens": 256, "lora_rank": 4, "evaluations": 2}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    tiny_folders.write_rows(file, ROWS)
    return file


@pytest.fixture(scope="module")
def measured(base: Path, rows: Path) -> Measured:
    found = try_run(PlanConfig(data=str(rows), base=str(base), **SETTINGS), sample_steps=3)
    assert found is not None
    return found


def test_the_work_is_that_of_the_run(base: Path, rows: Path, measured: Measured, tmp_path: Path) -> None:
    result = finetune(FinetuneConfig(data=str(rows), base=str(base), out=str(tmp_path / "run"), **SETTINGS))
    work, whole = measured.work, estimate(PlanConfig(data=str(rows), base=str(base), **SETTINGS), measured)
    certificate = json.loads((result.out / "certificate.json").read_text())
    metrics = [json.loads(line) for line in (result.out / "metrics.jsonl").read_text().splitlines()]
    assert (work.rows, work.epoch_row_tokens) == (certificate["rows"], certificate["row_tokens"])
    assert work.epoch_trained_tokens == certificate["trained_tokens"]
    assert whole.steps == work.steps == len(metrics)
    assert whole.steps * work.step_row_tokens == pytest.approx(sum(each["row_tokens"] for each in metrics))
    assert whole.steps * work.step_trained_tokens == pytest.approx(sum(each["trained_tokens"] for each in metrics))
    assert whole.evaluations == len([each for each in metrics if "dev_loss" in each])
    left = sum(path.stat().st_size for path in (result.out / "checkpoints").rglob("*") if path.is_file())
    assert measured.times.checkpoint_bytes * 2 == pytest.approx(left, rel=0.1)
    adapter = sum(path.stat().st_size for path in result.trained.iterdir())
    assert measured.times.result_bytes == pytest.approx(adapter, rel=0.05)


def test_parts_of_memory(measured: Measured) -> None:
    memory, trained = measured.memory, measured.work.trained_parameters
    assert memory.gradients == 4 * trained and memory.optimizer_state >= 8 * trained
    assert memory.optimizer_state < 9 * trained  # two moments, and a count of steps for each tensor
    assert set(memory.phases) == {"start", "training", "evaluation", "checkpoint", "result"}
    assert 100e6 < memory.started <= memory.phases["training"] <= memory.peak < memory.available


def test_worst_micro_batch(measured: Measured) -> None:
    assert 128 < measured.work.worst_tokens <= 256 and measured.work.worst_rows > 1
    assert 0 < measured.work.worst_trained_tokens < measured.work.worst_tokens


def test_time_adds_up(measured: Measured) -> None:
    config = PlanConfig(data="x", price_per_hour=7.2, **SETTINGS)
    times = replace(
        measured.times, token=0.01, token_least=0.005, token_most=0.02,
        start=10.0, evaluation=4.0, checkpoint=1.0, result=2.0, watts=36.0,
    )  # fmt: skip
    work = replace(measured.work, step_tokens=100.0, step_row_tokens=150.0, steps_per_epoch=4)
    whole = estimate(config, Measured(work, measured.memory, times), config.price_per_hour)
    assert (whole.steps, whole.evaluations) == (12, 2)
    assert whole.seconds == pytest.approx(10 + 2 + 3 * 4 + 2 * 1 + (12 + 3) * 1.0)
    assert whole.seconds_least < whole.seconds < whole.seconds_most
    assert whole.tokens_per_second == pytest.approx(150)
    assert whole.cost == pytest.approx(7.2 * whole.seconds / 3600)
    assert whole.watt_hours == pytest.approx(36 * whole.seconds / 3600)


def test_minutes_limit_the_steps() -> None:
    config = PlanConfig(data="x", epochs=50, evaluations=8, max_minutes=1.0)
    assert schedule(config, 10, step_seconds=2.0, evaluation_seconds=4.0) == (24, 8)  # 3 evaluations are 20 %
    assert schedule(config, 1, step_seconds=0.1, evaluation_seconds=0.1) == (50, 7)


def test_what_comes_before_the_first_step_is_part_of_the_minutes(measured: Measured) -> None:
    config = PlanConfig(data="x", epochs=100, evaluations=2, max_minutes=1.0)
    times = replace(measured.times, token=0.01, start=10.0, beforehand=2.0, evaluation=4.0)
    work = replace(measured.work, step_tokens=100.0, steps_per_epoch=4)
    spent = 10.0 + 2.0 + 4.0 + 3 * 1.0  # a run tries three steps
    expected = schedule(config, 4, step_seconds=1.0, evaluation_seconds=4.0, spent_seconds=spent)[0]
    assert estimate(config, Measured(work, measured.memory, times)).steps == expected == 60 - 19 - 2 * 4


def test_what_does_not_fit_is_said_with_what_would(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    def tried(config: PlanConfig, sample_steps: int) -> Measured | None:
        size = 10**9 * (3 if not config.activation_checkpointing else 1)
        return Measured(measured.work, replace(measured.memory, phases={"training": size}), measured.times)

    monkeypatch.setattr(module, "try_run", tried)
    found = module.run(PlanConfig(data="x", memory="2gb"))
    assert not found.fits and found.limit_bytes == 2 * 10**9
    assert [each.options for each in found.alternatives] == [
        "--micro-batch-tokens 1024",
        "--micro-batch-tokens 512",
        "--micro-batch-tokens 512 --activation-checkpointing",
    ]
    assert [each.fits for each in found.alternatives] == [False, False, True]
    assert module.run(PlanConfig(data="x", memory="4gb")).fits


def test_a_run_that_is_killed_for_memory_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "try_run", lambda config, sample_steps: None)
    found = module.run(PlanConfig(data="x"))
    assert not found.fits and found.estimate is None
    assert {each.problem for each in found.alternatives} == {"out of memory"}


def test_changes_are_different_from_what_is_asked() -> None:
    config = PlanConfig(data="x", adapter="none", micro_batch_tokens=64, activation_checkpointing=True)
    options = [text for text, _ in changes(config)]
    assert all(options) and len(set(options)) == len(options)


def test_mistakes_are_those_of_the_run(base: Path, tmp_path: Path) -> None:
    tiny_folders.write_rows(tmp_path / "rows.jsonl", [{"question": "where", "answer": ""}])
    with pytest.raises(DataError, match="is empty") as raised:
        try_run(PlanConfig(data=str(tmp_path / "rows.jsonl"), base=str(base)), 0)
    assert raised.value.where == f"{tmp_path / 'rows.jsonl'}:1, answer"


@pytest.mark.parametrize(("text", "size"), [("8gb", 8 * 10**9), ("1.5 GiB", 3 * 2**29), ("300MB", 3 * 10**8)])
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_bytes(PlanConfig(data="x", memory=text).memory or "") == size


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> list[PlanConfig]:
    """What was asked to be tried; every run takes what the measured one takes."""
    asked: list[PlanConfig] = []
    monkeypatch.setattr(module, "try_run", lambda config, sample_steps: asked.append(config) or measured)
    return asked


def test_the_command_and_its_exit_codes(tried: list[PlanConfig], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "rows.jsonl", "--batch-rows", "8", "--price-per-hour", "3"]) == 0
    shown = capsys.readouterr().out
    for word in ("parameters", "worst batch", "memory", "time", "disk", "cost", "verdict     it fits"):
        assert word in shown
    assert main(["plan", "rows.jsonl", "--json", "--memory", "1mb", "--no-alternatives"]) == 4
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["fits"] is False and found["measured"]["memory"]["peak"] > found["limit_bytes"] == 10**6
    assert "does not fit into memory" in captured.err
    assert [config.batch_rows for config in tried] == [8, 16]
    assert main(["plan", "rows.jsonl", "--memory", "much"]) == 2


def test_a_dry_run_plans_with_the_run_s_settings_and_writes_nothing(
    tried: list[PlanConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["finetune", "rows.jsonl", "--lora-rank", "3", "--out", str(out), "--dry-run"]) == 0
    assert "verdict     it fits" in capsys.readouterr().out and not out.exists()
    assert [(config.data, config.lora_rank) for config in tried] == [("rows.jsonl", 3)]
