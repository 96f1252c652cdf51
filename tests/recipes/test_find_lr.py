"""Trying rates on a tiny model: going on is as if never stopped, rates do not touch each other, the answer is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sartor.base.errors import SartorError, UsageError
from sartor.cli.main import main
from sartor.recipes import rate_trials
from sartor.recipes.examples import prepare
from sartor.recipes.find_lr import FindLrConfig, run
from sartor.recipes.rate_trials import Memory, RateTrials, expected_rate, search_rate
from sartor.recipes.training import trainable_model
from sartor.train.optimizer import trainable_parameters
from tests import tiny_folders

COLOURS = ("red", "green", "blue", "white")
ROWS = [{"question": f"the colour of {n * 7919}", "answer": COLOURS[n % 4]} for n in range(40)]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    tiny_folders.write_rows(tmp_path / "rows.jsonl", ROWS)
    return tmp_path / "rows.jsonl"


def config(base: Path, rows: Path, **settings: Any) -> FindLrConfig:
    lora = {} if settings.get("adapter") == "none" else {"lora_rank": 4, "lora_dropout": 0.1}
    values = {"batch_rows": 8, "minutes": 1.0, **lora, **settings}
    return FindLrConfig(data=str(rows), base=str(base), **values)


def trials(settings: FindLrConfig) -> RateTrials:
    prepared = prepare(settings)
    return RateTrials(settings, prepared, trainable_model(settings, prepared.base), prepared.dev_rows, 24)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine on which a step takes 0.4 s."""
    monkeypatch.setattr(rate_trials, "measure_step", lambda *arguments: 0.4)


@pytest.mark.parametrize("adapter", ["lora", "none"])
def test_a_rate_that_goes_on_is_the_rate_that_never_stopped(base: Path, rows: Path, adapter: str) -> None:
    """With other rates between, and one that diverges."""
    settings = config(base, rows, adapter=adapter)
    stopped, straight = trials(settings), trials(settings)
    assert stopped(1e-2, 6, 0) is not None
    stopped(3e-3, 6, 0)
    stopped(1e30, 6, 0)
    stopped(1e-2, 12, 1)
    again = stopped(1e-2, 12, 0)
    expected = straight(1e-2, 12, 0)
    assert again is not None and expected is not None
    assert np.array_equal(again, expected)


def test_a_repeat_starts_elsewhere_and_sees_other_batches(base: Path, rows: Path) -> None:
    tried = trials(config(base, rows))
    first, repeat = tried(1e-2, 6, 0), tried(1e-2, 6, 1)
    assert first is not None and repeat is not None and not np.allclose(first, repeat, rtol=1e-3)
    again = trials(config(base, rows))(1e-2, 6, 1)
    assert again is not None and np.array_equal(repeat, again)


def test_a_rate_that_diverges_is_no_loss(base: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = trials(config(base, rows))
    original = rate_trials.supervised_loss

    def broken(model: Any, batch: Any, num_trained: int) -> Any:
        loss, parts = original(model, batch, num_trained)
        return loss * float("nan"), parts

    with monkeypatch.context() as patched:
        patched.setattr(rate_trials, "supervised_loss", broken)
        assert tried(1e-2, 6, 0) is None
    assert tried(1e-2, 6, 0) is not None


def test_the_branch_leaves_the_trunk_alone(base: Path, rows: Path) -> None:
    tried = trials(config(base, rows))
    tried(1e-2, 6, 0)
    kept: Memory = tried._kept[1e-2, 0]
    assert kept.state is not None and kept.state.step == 5  # of six steps one is the cool-down
    before = {name: weight.clone() for name, weight in kept.weights.items()}
    tried(3e-3, 6, 0)
    assert all(torch.equal(kept.weights[name], weight) for name, weight in before.items())
    now = trainable_parameters(tried.model)
    assert not any(torch.equal(now[name], weight) for name, weight in before.items() if "lora_B" in name)


def test_what_is_found_is_written_and_told(
    base: Path, rows: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = rows.parent / "rate"
    assert main(["find-lr", str(rows), "--base", str(base), "--batch-rows", "8", "--minutes", "1", "--epochs", "12",
                 "--out", str(out), "--json"]) == 0  # fmt: skip
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert record == json.loads((out / "find-lr.json").read_text())
    assert record["planned_steps"] >= record["steps"] and record["expected"] == 1.5e-3
    tried = {each["rate"]: each for each in record["rates"]}
    assert len(tried) >= 4 and record["best"] in tried and tried[record["best"]]["state"] == "best"
    low, high = record["plateau_for_planned_steps"]
    assert low * 0.95 <= record["learning_rate"] <= high * 1.05
    best = tried[record["best"]]
    assert best["held_out_loss"] == min(best["losses"].values()) < record["start_loss"]
    assert "left)" in captured.err and "held out by a hash" in captured.err
    page = (out / "report.html").read_text()
    assert f"Take a learning rate of {record['learning_rate']:.2g}" in page and "<script" not in page
    assert (out / "find-lr.svg").read_text().startswith("<svg") and page.count("<svg") == 1


def test_the_same_search_finds_the_same(base: Path, rows: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(base, rows, rates=[1e-4, 1e-2], epochs=4)

    def once() -> Any:
        prepared = prepare(settings)
        return search_rate(settings, prepared, trainable_model(settings, prepared.base), 60, settings.rates)

    one, other = once(), once()
    assert one is not None and one.found.best == 1e-2
    assert one.found.tried == other.found.tried and one.learning_rate == other.learning_rate


def test_too_little_time_is_told(base: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_trials, "measure_step", lambda *arguments: 10.0)
    with pytest.raises(SartorError, match="no rate to recommend") as caught:
        run(config(base, rows, minutes=0.2))
    assert "--minutes" in (caught.value.hint or "")


@pytest.mark.parametrize("rates", [["0.1"], ["0.1", "0.1"], ["0.1", "-1"]])
def test_rates_that_cannot_be_compared_are_refused(
    rates: list[str], base: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["find-lr", str(rows), "--base", str(base), "--rates", *rates]) == UsageError.exit_code
    assert "two different rates above 0" in capsys.readouterr().err


def test_short_adapter_runs_expect_half_as_much_again(base: Path, rows: Path) -> None:
    assert expected_rate(config(base, rows), 99) == pytest.approx(1.5e-3)
    assert expected_rate(config(base, rows), 100) == 1e-3
    assert expected_rate(config(base, rows, adapter="none"), 10) == 1e-4
    assert expected_rate(config(base, rows, learning_rate=7e-4), 10) == 7e-4
