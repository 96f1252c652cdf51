"""Several processes train what one trains, and any number of them goes on where another number stopped.

The processes are started by torchrun, once for all that runs on two from the start, once for what goes on on two and
once for what goes on on three.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, safe_open

from sartor.base.distributed import rows_of
from sartor.data.batches import shares
from sartor.data.packing import pack
from sartor.train import parallel
from tests import tiny_models
from tests.train.several_processes import CASES, do

GOOD = [name for name in CASES if not name.startswith("nan")]
RESUMED = ("lora-ddp", "whole-bf16-fsdp", "whole-8bit-fsdp", "whole-muon-fsdp")
STOP = 4  # the micro-batch that a process computes when it asks to stop: within the run, not at its end
Job = tuple[str, Path, Path | None, int | None]


def on_processes(number: int, jobs: list[Job]) -> None:
    told = json.dumps([[name, str(out), run and str(run), stop] for name, out, run, stop in jobs])
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)]
    command = [*launcher, "-m", "tests.train.several_processes", told]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]


@dataclass(frozen=True)
class Outcome:
    history: list[dict[str, float]]
    weights: dict[str, torch.Tensor]

    @staticmethod
    def read(folder: Path) -> "Outcome":
        errors = [path.read_text() for path in folder.glob("error-*")]
        assert not errors, errors
        found: dict[str, Any] = json.loads((folder / "found.json").read_text())
        return Outcome(found["history"], load_file(folder / "weights.safetensors"))

    def losses(self, name: str) -> list[float]:
        return [record[name] for record in self.history if name in record]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case on two processes; those of RESUMED also stopped, each in its run folder."""
    place = tmp_path_factory.mktemp("two")
    jobs: list[Job] = [(name, place / name, None, None) for name in CASES]
    jobs += [(name, place / "stopped" / name, place / "runs" / name, STOP) for name in RESUMED]
    on_processes(2, jobs)
    return place


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same on one process."""
    place = tmp_path_factory.mktemp("one")
    for name in GOOD:
        do(name, place / name)
    for name in RESUMED:
        do(name, place / "stopped" / name, place / "runs" / name, STOP)
    return place


@pytest.fixture(scope="module")
def resumed_on_two(one: Path, two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process and what two processes had begun, ended by two."""
    place = tmp_path_factory.mktemp("resumed_on_two")
    jobs: list[Job] = []
    for begun, source in (("one", one), ("two", two)):
        shutil.copytree(source / "runs", place / "runs" / begun)
        jobs += [(name, place / begun / name, place / "runs" / begun / name, None) for name in RESUMED]
    on_processes(2, jobs)
    return place


def assert_close(outcome: Outcome, expected: Outcome, name: str) -> None:
    """Within what rounding does in six steps. The gradient's norm shows what steps by its sign would hide."""
    rounded = any(kind in name for kind in ("bf16", "8bit", "muon"))
    tolerance = 2e-3 if rounded else 2e-4
    assert outcome.losses("gradient_norm") == pytest.approx(expected.losses("gradient_norm"), rel=10 * tolerance)
    for metric in ("loss", "dev_loss"):
        assert outcome.losses(metric) == pytest.approx(expected.losses(metric), rel=tolerance), metric
    for counted in ("trained_tokens", "row_tokens", "step", "learning_rate"):
        assert outcome.losses(counted) == expected.losses(counted)
    assert outcome.weights.keys() == expected.weights.keys()
    for label, weight in expected.weights.items():
        apart = float((outcome.weights[label].float() - weight.float()).norm() / weight.float().norm())
        assert apart < (0.2 if rounded else 0.05 if "lora" in name else 0.01), label


@pytest.mark.parametrize("name", GOOD)
def test_two_processes_train_what_one_trains(name: str, one: Path, two: Path) -> None:
    assert_close(Outcome.read(two / name), Outcome.read(one / name), name)


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_of_two_processes_goes_on_bit_for_bit_on_two(name: str, two: Path, resumed_on_two: Path) -> None:
    expected, resumed = Outcome.read(two / name), Outcome.read(resumed_on_two / "two" / name)
    assert resumed.history == expected.history
    assert all(torch.equal(resumed.weights[label], weight) for label, weight in expected.weights.items())


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_of_one_process_goes_on_on_two(name: str, one: Path, resumed_on_two: Path) -> None:
    assert_close(Outcome.read(resumed_on_two / "one" / name), Outcome.read(one / name), name)


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_of_two_processes_goes_on_on_one(
    name: str, two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(two / "runs" / name, tmp_path / "run")
    do(name, tmp_path / "out", tmp_path / "run")
    assert_close(Outcome.read(tmp_path / "out"), Outcome.read(two / name), name)
    assert "processes: 2, now 1" in capsys.readouterr().err


def test_a_run_of_two_processes_goes_on_on_three(two: Path, tmp_path: Path) -> None:
    """32 rows of a matrix on three processes are 11, 11 and 10."""
    names = ("whole-8bit-fsdp", "whole-muon-fsdp", "lora-ddp")
    jobs: list[Job] = []
    for name in names:
        shutil.copytree(two / "runs" / name, tmp_path / "runs" / name)
        jobs.append((name, tmp_path / name, tmp_path / "runs" / name, None))
    on_processes(3, jobs)
    for name in names:
        assert_close(Outcome.read(tmp_path / name), Outcome.read(two / name), name)


def test_the_processes_agree_to_stop_and_save_their_own_rows(two: Path) -> None:
    for name in RESUMED:
        errors = {path.name: path.read_text() for path in (two / "stopped" / name).iterdir()}
        assert errors.keys() == {"error-0", "error-1"}
        assert all(text.startswith("75 stopped after step") for text in errors.values())
    folder = two / "runs" / "whole-bf16-fsdp" / "checkpoints"
    checkpoint = folder / (folder.parent / "latest").read_text().strip()
    parts = json.loads((checkpoint / "shards.json").read_text())["parts"]
    label = "model.layers.0.mlp.up_proj.weight"
    assert parts["weights"][label] == [[f"shards/{n}/weights.safetensors", 32 * n, 32 * n + 32] for n in (0, 1)]
    with safe_open(checkpoint / "shards" / "1" / "weights.safetensors", "pt") as file:
        assert file.get_tensor(label).shape == (32, 32) and file.get_tensor(label).dtype == torch.float32
    whole = load_file(checkpoint / "weights.safetensors")
    assert "model.embed_tokens.weight" in whole and label not in whole
    assert not list(folder.glob(".*"))


def test_a_loss_that_is_not_finite_in_one_process_stops_all(two: Path) -> None:
    errors = {path.name: path.read_text() for path in (two / "nan-fsdp").iterdir()}
    assert errors.keys() == {"error-0", "error-1"}
    assert "another process stopped at step 1; nothing was updated" in errors["error-0"]
    assert "the loss became nan at step 1; nothing was updated" in errors["error-1"]


@pytest.mark.parametrize("processes", [2, 3, 5])
@pytest.mark.parametrize("number", [1, 2, 4, 7])
def test_every_micro_batch_counts_once_and_every_process_has_as_many(
    processes: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [pack([row]) for row in tiny_models.rows([9 + 5 * n % 13 for n in range(number)])]
    monkeypatch.setattr(parallel, "world_size", lambda: processes)
    dealt = []
    for process in range(processes):
        monkeypatch.setattr(parallel, "rank", lambda process=process: process)
        dealt.append(parallel.deal(batches))
    assert len({len(share) for share in dealt}) == 1
    counted = [id(batch) for share in dealt for batch, counts in share if counts]
    assert sorted(counted) == sorted(id(batch) for batch in batches)


def test_rows_are_shared_by_tokens() -> None:
    rows = tiny_models.rows([30, 29, 20, 11, 10, 3, 2])
    parts = shares(rows, 2)
    assert sorted(len(row.ids) for part in parts for row in part) == [2, 3, 10, 11, 20, 29, 30]
    assert [sum(len(row.ids) for row in part) for part in parts] == [30 + 11 + 10, 29 + 20 + 3 + 2]
    assert len(shares(rows[:2], 5)) == 2


@pytest.mark.parametrize(("rows", "processes"), [(32, 3), (5, 4), (2, 4), (7, 1)])
def test_rows_of_are_those_of_torch_chunk(rows: int, processes: int) -> None:
    spans = [rows_of(rows, process, processes) for process in range(processes)]
    expected = [len(part) for part in torch.arange(rows).chunk(processes)]
    assert [end - first for first, end in spans] == expected + [0] * (processes - len(expected))
    assert [first for first, _ in spans][1:] == [end for _, end in spans][:-1]
