"""Training verbs as torchrun starts them, on two processes: one run folder, one voice, one result."""

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
from tests.recipes import pairs, several_runs

COLOURS = ("red", "green", "blue", "white")
ROWS = [{"question": f"the colour of {n * 7919}", "answer": COLOURS[n % 4]} for n in range(40)]
SETTINGS = {"batch_rows": 10, "epochs": 2, "evaluations": 2, "lora_rank": 4}


@pytest.mark.parametrize(("adapter", "parallel"), [("lora", "ddp"), ("none", "fsdp")])
def test_two_processes_leave_what_one_leaves(tmp_path: Path, adapter: str, parallel: str) -> None:
    base = tiny_folders.language_model(tmp_path / "base")
    tiny_folders.write_rows(tmp_path / "rows.jsonl", ROWS)
    shared = {"adapter": adapter, **SETTINGS}
    if adapter == "none":
        shared.pop("lora_rank")
    told = {**shared, "base": base, "parallel": parallel, "out": tmp_path / "two"}
    options = [word for name, value in told.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "sartor", "finetune", str(tmp_path / "rows.jsonl"), *options, "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]

    settings = FinetuneConfig(
        data=str(tmp_path / "rows.jsonl"), base=str(base), out=str(tmp_path / "one"), **shared
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


VERBS = [(verb, parallel) for verb in ("reward", "dpo") for parallel in ("ddp", "fsdp")]


@pytest.fixture(scope="module")
def on_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on pairs, VERB-PARALLEL by two processes and VERB-one by this one."""
    folder = tmp_path_factory.mktemp("on-pairs")
    base = tiny_folders.language_model(folder / "base")
    settings = {
        "data": str(pairs.write(folder)), "base": str(base), "batch_rows": 9, "micro_batch_tokens": 256, "epochs": 1,
        "evaluations": 2, "lora_rank": 4, "learning_rate": 3e-3,
    }  # fmt: skip
    jobs = [(verb, {**settings, "parallel": kind, "out": str(folder / f"{verb}-{kind}")}) for verb, kind in VERBS]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "tests.recipes.several_runs", json.dumps(jobs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("held-out loss before") == len(jobs)
    for verb in ("reward", "dpo"):
        several_runs.run(verb, {**settings, "out": str(folder / f"{verb}-one")})
    return folder


@pytest.mark.parametrize(("verb", "parallel"), VERBS)
def test_two_processes_learn_of_pairs_what_one_learns(on_pairs: Path, verb: str, parallel: str) -> None:
    one, two = on_pairs / f"{verb}-one", on_pairs / f"{verb}-{parallel}"
    files = [{path.relative_to(run).as_posix() for path in run.rglob("*") if "checkpoints" not in path.parts}
             for run in (one, two)]  # fmt: skip
    assert files[0] == files[1] and ("reference" in files[0]) == (verb == "dpo")
    for mine, theirs in zip(pairs.metrics(one), pairs.metrics(two), strict=True):
        assert mine.keys() == theirs.keys()
        assert all(theirs[name] == pytest.approx(mine[name], rel=2e-3, abs=2e-4) for name in mine), (mine, theirs)
    weights = [load_file(run / "adapter" / "adapter_model.safetensors") for run in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    apart = [float((weights[0][name] - weights[1][name]).norm() / weights[0][name].norm()) for name in weights[0]]
    assert max(apart) < 0.01
    assert (one / "certificate.json").read_bytes() == (two / "certificate.json").read_bytes()
    if verb == "dpo":
        known = [load_file(run / "reference" / "log_probs.safetensors") for run in (one, two)]
        for name in ("train", "dev"):
            torch.testing.assert_close(known[0][name], known[1][name], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_pretrain_what_one_pretrains(tmp_path: Path, parallel: str) -> None:
    rows = [{"id": f"text {n}", "text": " ".join(COLOURS[(n + place) % 4] for place in range(120))} for n in range(20)]
    tiny_folders.write_rows(tmp_path / "texts.jsonl", rows)
    options = (
        f"{tmp_path}/texts.jsonl --preset 1m --vocabulary 512 --window-tokens 32 --batch-tokens 160 --tokens 2k "
        f"--micro-batch-tokens 64 --evaluations 2 --evaluation-tokens 128 --sample-tokens 4 --optimizer adamw "
        f"--parallel {parallel} --json"
    ).split()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    results = []
    for name, start in (("one", [sys.executable]), ("two", launcher)):
        command = [*start, "-m", "sartor", "pretrain", *options, "--out", str(tmp_path / name)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr[-3000:]
        results.append(json.loads(done.stdout))
    one, two = results
    assert one["steps"] == two["steps"] and one["tokens"] == two["tokens"]
    assert two["dev_loss_before"] == pytest.approx(one["dev_loss_before"], rel=1e-3)
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)
    weights = [load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
    apart = [float((weights[0][name] - weights[1][name]).float().norm() / weights[0][name].float().norm())
             for name in weights[0]]  # fmt: skip
    assert max(apart) < 0.1
    files = [{path.relative_to(tmp_path / name).as_posix() for path in (tmp_path / name).rglob("*") if
              "checkpoints" not in path.parts} for name in ("one", "two")]  # fmt: skip
    assert files[0] == files[1]
