"""`finetune.run` on a tiny model: what it leaves, what it keeps to, and how it goes on."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from sartor.base.configuration import build, load_yaml
from sartor.base.errors import DataError, SartorError, UsageError
from sartor.base.run_folder import RunFolder
from sartor.data.packing import pack
from sartor.generation.local import LocalModel
from sartor.models import attention
from sartor.models.hub import locate
from sartor.recipes.finetune import FinetuneConfig, run
from sartor.recipes.stage import TrainingResult
from sartor.train.log_probs import batch_log_probs
from tests import tiny_folders, tiny_models

COLOURS = ("red", "green", "blue", "white")
ROWS = [{"question": f"the colour of {n * 7919}", "answer": COLOURS[n % 4]} for n in range(40)]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    tiny_folders.write_rows(file, ROWS)
    return file


def config(base: Path, rows: Path, **settings: Any) -> FinetuneConfig:
    values = {"batch_rows": 20, "epochs": 2, "evaluations": 2, "lora_rank": 4, **settings}
    return FinetuneConfig(data=str(rows), base=str(base), out=str(rows.parent / "run"), **values)


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[FinetuneConfig, TrainingResult]:
    file = tmp_path_factory.mktemp("finished") / "rows.jsonl"
    tiny_folders.write_rows(file, ROWS)
    settings = config(base, file)
    return settings, run(settings)


def test_a_run_leaves_all_that_it_came_to(finished: tuple[FinetuneConfig, TrainingResult]) -> None:
    settings, result = finished
    folder = Path(settings.out)
    assert build(FinetuneConfig, load_yaml(folder / "config.yaml")) == settings
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    certificate = json.loads((folder / "certificate.json").read_text())
    held_out = 40 - certificate["rows"]
    assert 0 < held_out <= 13 and certificate["rows_without_trained_token"] == 0
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [each["step"] for each in metrics] == [1, 2, 3, 4] and result.steps == 4
    assert [each["step"] for each in metrics if "dev_loss" in each] == [2, 4]
    assert sum(each["trained_tokens"] for each in metrics) == 2 * certificate["trained_tokens"]
    checkpoint = RunFolder(folder).newest_checkpoint()
    assert checkpoint is not None and checkpoint.step == 4
    assert result.dev_loss == min(each["dev_loss"] for each in metrics if "dev_loss" in each) < result.dev_loss_before
    assert f"{certificate['rows']} rows, {held_out} held out" in (folder / "README.md").read_text()
    stored = json.loads((folder / "result.json").read_text())
    assert stored["best_step"] == result.best_step and stored["dev_loss"] == result.dev_loss
    assert not list(folder.rglob("*.new")) and not (folder / "rejects.jsonl").exists()
    assert "the held-out loss fell from" in (folder / "report.html").read_text()


def test_peft_loads_the_adapter_and_says_the_same(finished: tuple[FinetuneConfig, TrainingResult]) -> None:
    settings, result = finished
    rows = tiny_models.rows([9, 17])
    plain = AutoModelForCausalLM.from_pretrained(settings.base, dtype=torch.float32)
    local = LocalModel.open(locate(settings.out), torch.float32)
    with torch.no_grad():
        before = tiny_models.reference_log_probs(plain, rows)
        theirs = tiny_models.reference_log_probs(PeftModel.from_pretrained(plain, result.trained).eval(), rows)
        ours = batch_log_probs(local.model, pack(rows))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert (theirs - before).abs().max() > 1e-3


def test_the_same_command_again_answers_from_the_folder(
    finished: tuple[FinetuneConfig, TrainingResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, result = finished
    monkeypatch.setattr("sartor.recipes.training.load_packed", None)  # nothing is trained
    assert run(settings) == result


def test_the_same_places_written_otherwise_are_the_same_settings(
    finished: tuple[FinetuneConfig, TrainingResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, result = finished
    monkeypatch.chdir(Path(settings.data).parent)
    monkeypatch.setattr("sartor.recipes.training.load_packed", None)  # nothing is trained
    assert run(settings.model_copy(update={"data": f"./{Path(settings.data).name}"})) == result


def test_a_model_with_attention_dropout_is_trained_without_it(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every published GPT-2 has it; other kinds of dropout stay."""
    base = rows.parent / "gpt2"
    model = tiny_models.model("gpt2", attention_dropout=0.1)
    model.save_pretrained(base)
    tiny_models.tokenizer().save_pretrained(base)
    attention.say_dropout_is_left_out.cache_clear()
    result = run(config(base, rows, adapter="none", lora_rank=16, epochs=1, evaluations=1))
    assert result.steps == 2
    assert capsys.readouterr().err.count("the model's own attention dropout of 0.1 is left out") == 1


def test_other_settings_are_refused(finished: tuple[FinetuneConfig, TrainingResult]) -> None:
    settings, _ = finished
    with pytest.raises(UsageError, match="begun with other settings"):
        run(settings.model_copy(update={"learning_rate": 2e-3}))


def test_minutes_limit_the_steps(base: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sartor.recipes.planning.measure_step", lambda *arguments: 20.0)
    result = run(config(base, rows, epochs=50, max_minutes=1.5, patience=None))
    plan = json.loads((result.out / "plan.json").read_text())
    assert result.steps == plan["num_steps"] == 4  # 90 s less a moment for held-out losses, at 20 s a step


def test_skipped_rows_are_kept_with_their_reason(base: Path, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_folders.write_rows(rows, [*ROWS, {"question": "where", "answer": ""}, {"question": "who"}])
    with pytest.raises(DataError, match="is empty"):
        run(config(base, rows))
    assert not (rows.parent / "run").exists()
    result = run(config(base, rows, epochs=0.5, on_bad_row="skip"))
    rejects = [json.loads(line) for line in (result.out / "rejects.jsonl").read_text().splitlines()]
    assert [(each["where"], each["field"]) for each in rejects] == [(f"{rows}:41", "answer"), (f"{rows}:42", "answer")]
    assert rejects[1]["raw"] == {"question": "who"}
    assert "2 rows left out" in capsys.readouterr().err


def test_held_out_rows_of_ones_own(base: Path, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dev = rows.with_name("dev.jsonl")
    tiny_folders.write_rows(dev, [*ROWS[:3], {"question": "long " * 100, "answer": "red"}])
    result = run(config(base, rows, epochs=0.5, dev=str(dev), max_row_tokens=100))
    assert json.loads((result.out / "certificate.json").read_text())["rows"] == 40
    assert "40 rows, 3 held out" in (result.out / "README.md").read_text()
    assert "1 held-out rows left out" in capsys.readouterr().err


@pytest.mark.parametrize("writes", [1, 3, 12, 30])
def test_a_full_disk_stops_the_run_and_the_same_command_goes_on(
    base: Path, rows: Path, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(base, rows)
    sync, done = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal done
        done += 1
        if done > writes:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(SartorError, match="the disk is full"):
            run(settings)
    result = run(settings)
    assert result.steps == 4
    metrics = [json.loads(line) for line in (result.out / "metrics.jsonl").read_text().splitlines()]
    assert [each["step"] for each in metrics] == [1, 2, 3, 4]


def test_a_resumed_run_ends_as_an_uninterrupted_one(
    finished: tuple[FinetuneConfig, TrainingResult], base: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, uninterrupted = finished

    def fail(*arguments: object) -> None:
        raise SartorError("stopped here")

    with monkeypatch.context() as patched:
        patched.setattr("sartor.recipes.training.adapter_files", fail)
        with pytest.raises(SartorError, match="stopped here"):
            run(config(base, rows))
    shutil.rmtree(rows.parent / "run" / "checkpoints" / "step-4")  # back to what was saved half way
    result = run(config(base, rows))
    adapters = [load_file(each.trained / "adapter_model.safetensors") for each in (result, uninterrupted)]
    assert adapters[0].keys() == adapters[1].keys()
    assert all(torch.equal(adapters[0][name], adapters[1][name]) for name in adapters[0])


def test_rows_longer_than_the_model_reads_are_left_out_and_counted(base: Path, rows: Path) -> None:
    long = {"question": "the cat " * 2500, "answer": "red"}  # more than the tiny model's 4,096 tokens
    tiny_folders.write_rows(rows, [*ROWS, long])
    settings = config(base, rows, epochs=1, dev=str(rows), max_row_tokens=10_000)
    run(settings)
    certificate = json.loads((Path(settings.out) / "certificate.json").read_text())
    assert (certificate["rows"], certificate["rows_too_long"], certificate["max_row_tokens"]) == (40, 1, 4096)


def test_a_sink_hears_every_step_once_though_the_run_was_stopped(
    base: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    settings = config(base, rows, sinks=["tensorboard"])

    def fail(*arguments: object) -> None:
        raise SartorError("stopped here")

    with monkeypatch.context() as patched:
        patched.setattr("sartor.recipes.training.adapter_files", fail)
        with pytest.raises(SartorError, match="stopped here"):
            run(settings)
    folder = rows.parent / "run"
    assert json.loads((folder / "failed.json").read_text()) == {"error": "stopped here"}
    shutil.rmtree(folder / "checkpoints" / "step-4")  # steps 3 and 4 are computed again
    run(settings)
    assert not (folder / "failed.json").exists()
    events = reader.EventAccumulator(str(folder / "tensorboard")).Reload()
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    logged = [(event.step, event.value) for event in events.Scalars("loss")]
    assert logged == [(each["step"], pytest.approx(each["loss"])) for each in metrics] and len(logged) == 4
    assert [event.step for event in events.Scalars("dev_loss")] == [2, 4]


def test_rows_that_ask_what_the_test_asks_are_named(base: Path, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = rows.parent / "task"
    task.mkdir()
    (task / "task.yaml").write_text("scorer: exact\n")
    tiny_folders.write_rows(task / "dev.jsonl", [{"question": "what else", "answer": "blue"}])
    tiny_folders.write_rows(task / "test.jsonl", [json.loads(rows.read_text().splitlines()[0])])
    result = run(config(base, rows, task=str(task), epochs=1, evaluations=1))
    found = json.loads((result.out / "certificate.json").read_text())["contamination"]
    assert found["exact"] == 1 and found["test"] == str(task)
    assert f"{rows}:1 and" in found["pairs"][0]
    assert "CONTAMINATED" in " ".join(capsys.readouterr().err.split())


def test_without_colours_what_is_learnt_stands_between_marks(
    base: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(config(base, rows, epochs=0.1, evaluations=1))
    assert "⟦between marks⟧" in capsys.readouterr().err
