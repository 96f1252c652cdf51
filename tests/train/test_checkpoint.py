"""Checkpoints hold all that is needed, say where they were made, and are read by any number of processes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sartor.base.errors import DataError, UsageError
from sartor.base.run_folder import RunFolder
from sartor.train import checkpoint
from sartor.train.checkpoint import Checkpoints, LoopState
from sartor.train.optimizer import Optimizer
from sartor.train.shards import INDEX, SavedTensors


def linear(seed: int) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(4, 3, dtype=torch.bfloat16)


def stepped(optimizer: Optimizer, *steps: int) -> None:
    for step in steps:
        for master in optimizer.weights.masters.values():
            master.grad = torch.sin(torch.arange(float(master.numel())) + step).view_as(master)
        optimizer.step(1e-3)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A run with one checkpoint, after 3 of the steps of `stepped` on `linear(0)`, the best after 2."""
    with RunFolder.create(tmp_path / "run") as run, Optimizer(linear(0)) as optimizer:
        checkpoints = Checkpoints(run)
        state = LoopState(best={"dev_loss": 1.5}, best_step=2, best_weights=optimizer.weights.model_weights())
        for step in (1, 2, 3):
            stepped(optimizer, step)
            state.record({"step": step, "loss": 2.0 / step})
            state.seconds = 0.5 * step
            checkpoints.log(state, tokens_per_second=100.0 * step)
        checkpoints.save(state, optimizer)
        state.record({"step": 4, "loss": 0.4})
        checkpoints.log(state, 1.0)  # of a step after the checkpoint: forgotten by a run that resumes
        checkpoints.close()
    return tmp_path / "run"


def test_latest_is_put_right_when_a_crash_left_it_behind(saved: Path) -> None:
    """The pointer is written after the checkpoint, and a run that was at its end saves no more."""
    for stale in ("step-1\n", None):
        pointer = saved / "latest"
        pointer.unlink() if stale is None else pointer.write_text(stale)
        with RunFolder.open(saved) as run, Optimizer(linear(1)) as optimizer:
            checkpoints = Checkpoints(run)
            checkpoints.restore(optimizer)
            checkpoints.close()
        assert pointer.read_text() == "step-3\n"


def test_what_the_coming_batches_depend_on_comes_back(saved: Path) -> None:
    with RunFolder.open(saved) as run, Optimizer(linear(0)) as optimizer:
        checkpoints = Checkpoints(run)
        state = checkpoints.restore(optimizer)
        assert state is not None and state.source == {}
        state.record({"step": 4, "loss": 0.4})
        checkpoints.log(state, 1.0)
        state.source = {"answers": torch.arange(5), "rewards": torch.tensor([0.5, -1.0])}
        checkpoints.save(state, optimizer)
        checkpoints.close()
    with RunFolder.open(saved) as run, Optimizer(linear(0)) as optimizer:
        checkpoints = Checkpoints(run)
        again = checkpoints.restore(optimizer)
        checkpoints.close()
    assert again is not None and again.step == 4 and again.source.keys() == state.source.keys()
    assert all(torch.equal(again.source[name], state.source[name]) for name in state.source)


def test_masters_state_and_best_weights_come_back_exactly(saved: Path) -> None:
    with Optimizer(linear(0)) as expected:
        start = expected.weights.model_weights()
        stepped(expected, 1, 2, 3)
        model = linear(1)
        with RunFolder.open(saved) as run, Optimizer(model) as optimizer:
            checkpoints = Checkpoints(run)
            state = checkpoints.restore(optimizer)
            checkpoints.close()
            assert state is not None
            for name, master in expected.weights.masters.items():
                assert torch.equal(optimizer.weights.masters[name], master)
                assert torch.equal(model.get_parameter(name), master.bfloat16())
                assert torch.equal(state.best_weights[name], start[name])
            assert optimizer.state().keys() == expected.state().keys()
            assert all(torch.equal(optimizer.state()[label], each) for label, each in expected.state().items())
    assert (state.step, state.best_step, state.seconds, state.best) == (3, 2, 1.5, {"dev_loss": 1.5})
    assert [record["loss"] for record in state.history] == [2.0, 1.0, 2.0 / 3]


def test_timing_is_kept_apart_from_what_is_the_same_in_every_run(saved: Path) -> None:
    with RunFolder.open(saved) as run, Optimizer(linear(1)) as optimizer:
        checkpoints = Checkpoints(run)
        checkpoints.restore(optimizer)
        checkpoints.close()
    lines = {name: (saved / name).read_text().splitlines() for name in ("metrics.jsonl", "timing.jsonl")}
    assert [json.loads(line) for line in lines["timing.jsonl"]] == [
        {"step": step, "seconds": 0.5 * step, "tokens_per_second": 100.0 * step} for step in (1, 2, 3)
    ]
    assert [json.loads(line)["step"] for line in lines["metrics.jsonl"]] == [1, 2, 3]
    assert "seconds" not in "".join(lines["metrics.jsonl"])


@pytest.mark.parametrize("changed", ["torch", "machine", "threads", "processes"])
def test_going_on_elsewhere_has_to_be_accepted(
    saved: Path, changed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = {**checkpoint.environment(), changed: "another"}
    monkeypatch.setattr(checkpoint, "environment", lambda: elsewhere)
    with RunFolder.open(saved) as run, Optimizer(linear(1)) as optimizer:
        checkpoints = Checkpoints(run)
        with pytest.raises(UsageError, match="not go on bit for bit") as refused:
            checkpoints.restore(optimizer)
        assert "--accept-changed-environment" in str(refused.value) and "now another" in str(refused.value)
        assert len((saved / "metrics.jsonl").read_text().splitlines()) == 4  # nothing was touched
        state = checkpoints.restore(optimizer, accept_changed_environment=True)
        checkpoints.close()
    assert state is not None and state.step == 3
    assert f"{changed}:" in capsys.readouterr().err


def test_weights_of_another_model_are_refused(saved: Path) -> None:
    with RunFolder.open(saved) as run, Optimizer(nn.Linear(4, 3, bias=False)) as optimizer:
        checkpoints = Checkpoints(run)
        with pytest.raises(DataError, match="holds other weights"):
            checkpoints.restore(optimizer)
        checkpoints.close()


def test_nothing_in_a_checkpoint_is_pickled(saved: Path) -> None:
    (folder,) = (saved / "checkpoints").iterdir()
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}
    assert load_file(folder / "weights.safetensors")["weight"].dtype == torch.float32
    assert load_file(folder / "best.safetensors")["weight"].dtype == torch.bfloat16


def test_any_rows_are_read_from_any_parts(tmp_path: Path) -> None:
    """A tensor of 7 rows that 3 processes saved as 3, 3 and 1."""
    whole = torch.arange(14.0).view(7, 2)
    spans = [(0, 3), (3, 6), (6, 7)]
    for process, (first, end) in enumerate(spans):
        (tmp_path / "shards" / str(process)).mkdir(parents=True)
        save_file({"w": whole[first:end].clone()}, tmp_path / f"shards/{process}/weights.safetensors")
    save_file({"v": torch.arange(5.0), "n": torch.tensor(3.0)}, tmp_path / "weights.safetensors")
    parts = {"w": [(f"shards/{process}/weights.safetensors", *span) for process, span in enumerate(spans)]}
    (tmp_path / INDEX).write_text(json.dumps({"processes": 3, "parts": {"weights": parts}}))
    with SavedTensors(tmp_path, "weights") as saved:
        assert set(saved.names()) == {"v", "n", "w"}
        assert torch.equal(saved.read("w"), whole)
        for first in range(8):
            for end in range(first, 8):
                assert torch.equal(saved.read("w", (first, end)), whole[first:end]), (first, end)
        assert torch.equal(saved.read("v", (1, 3)), torch.tensor([1.0, 2.0]))
        assert float(saved.read("n", (1, 3))) == 3.0


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with SavedTensors(tmp_path, "weights") as saved, pytest.raises(DataError, match=r"weights\.safetensors"):
        saved.names()
