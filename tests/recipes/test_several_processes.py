"""`sartor finetune` as torchrun starts it, on two processes: one run folder, one voice, one result."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sartor.recipes.finetune import FinetuneConfig, run
from tests import tiny_folders

COLOURS = ("red", "green", "blue", "white")
ROWS = [{"question": f"the colour of {n * 7919}", "answer": COLOURS[n % 4]} for n in range(40)]
SETTINGS = {"batch_rows": 10, "epochs": 2, "evaluations": 2, "lora_rank": 4}


@pytest.mark.parametrize(("adapter", "parallel"), [("lora", "ddp"), ("none", "fsdp")])
def test_two_processes_leave_what_one_leaves(tmp_path: Path, adapter: str, parallel: str) -> None:
    base = tiny_folders.language_model(tmp_path / "base")
    tiny_folders.write_rows(tmp_path / "rows.jsonl", ROWS)
    told = {**SETTINGS, "base": base, "adapter": adapter, "parallel": parallel, "out": tmp_path / "two"}
    options = [word for name, value in told.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "sartor", "finetune", str(tmp_path / "rows.jsonl"), *options, "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]

    settings = FinetuneConfig(
        data=str(tmp_path / "rows.jsonl"), base=str(base), out=str(tmp_path / "one"), adapter=adapter, **SETTINGS
    )  # type: ignore[arg-type]
    expected = run(settings)
    result = json.loads(done.stdout)  # one document, though there were two processes
    assert done.stderr.count("held-out loss before") == 1
    assert result["steps"] == expected.steps and result["best_step"] == expected.best_step
    assert result["dev_loss"] == pytest.approx(expected.dev_loss, rel=5e-3)
    assert result["dev_loss_before"] == pytest.approx(expected.dev_loss_before, rel=1e-5)
    folders = [{path.relative_to(tmp_path / name).as_posix() for path in (tmp_path / name).rglob("*") if
                "checkpoints" not in path.parts} for name in ("one", "two")]  # fmt: skip
    assert folders[0] == folders[1]
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)
    file = "adapter/adapter_model.safetensors" if adapter == "lora" else "model/model.safetensors"
    one, two = (load_file(tmp_path / name / file) for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(one[name].shape == two[name].shape for name in one)
    apart = torch.stack([(one[name] - two[name]).float().norm() / one[name].float().norm() for name in one])
    assert float(apart.max()) < (0.2 if adapter == "lora" else 0.02)
