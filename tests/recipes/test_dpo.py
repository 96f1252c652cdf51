"""`sartor dpo` on a tiny model: the reference is the start, what a run leaves, every loss, and going on from a run."""

import json
import math
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
from sartor.cli.main import main
from sartor.data.packing import pack
from sartor.data.pairs import PairBatch
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Sampling
from sartor.models.hub import locate
from sartor.recipes.dpo import DpoConfig, run
from sartor.recipes.dpo_stage import DpoStage
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.finetune import run as finetune
from sartor.recipes.reference import REFERENCE
from sartor.recipes.stage import TrainingResult
from sartor.train import actors
from sartor.train.log_probs import batch_log_probs
from sartor.train.pair_log_probs import pair_log_probs
from tests import tiny_folders, tiny_models
from tests.recipes import gpt2, pairs

WITH_REFERENCE, WITHOUT = ("sigmoid", "ipo", "hinge"), ("simpo", "orpo")


def config(base: Path, file: Path, **settings: Any) -> DpoConfig:
    lora = {} if settings.get("adapter") == "none" else {"lora_rank": 4}
    values = {
        "batch_rows": 12, "epochs": 2, "evaluations": 2, "micro_batch_tokens": 256, "learning_rate": 1e-2, **lora,
        **settings,
    }  # fmt: skip
    return DpoConfig(data=str(file), base=str(base), out=str(file.parent / "run"), **values)


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs.computed_in_float32(monkeypatch)


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[DpoConfig, TrainingResult]:
    settings = config(base, pairs.write(tmp_path_factory.mktemp("finished")))
    with pytest.MonkeyPatch.context() as patch:
        pairs.computed_in_float32(patch)
        return settings, run(settings)


@pytest.fixture(scope="module")
def finetuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned run whose adapter has rank 3 and dropout."""
    folder = tmp_path_factory.mktemp("finetuned")
    rows = [{"question": f"the colour of {n * 7919}", "answer": pairs.COLOURS[n % 4]} for n in range(30)]
    tiny_folders.write_rows(folder / "rows.jsonl", rows)
    settings = {
        "base": str(base),
        "lora_rank": 3,
        "lora_dropout": 0.2,
        "epochs": 4,
        "evaluations": 1,
        "learning_rate": 1e-2,
    }
    return finetune(FinetuneConfig(data=str(folder / "rows.jsonl"), out=str(folder / "run"), **settings)).out  # type: ignore[arg-type]


def held_out(settings: DpoConfig, model_name: str | Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed log-probabilities of the held-out pairs' answers under a model, or a run, that is on the disk."""
    model = LocalModel.open(locate(model_name), torch.float32).model
    stage = DpoStage(settings)
    with torch.no_grad():
        found = pair_log_probs(model, PairBatch.of(stage.prepared.dev))
    return found.chosen, found.rejected


def test_a_run_leaves_all_that_it_came_to(finished: tuple[DpoConfig, TrainingResult]) -> None:
    settings, result = finished
    folder = Path(settings.out)
    assert build(DpoConfig, load_yaml(folder / "config.yaml")) == settings
    assert json.loads((folder / "environment.json").read_text())["run"] == "dpo"
    certificate = json.loads((folder / "certificate.json").read_text())
    held_out_pairs = 40 - certificate["pairs"]
    assert 0 < held_out_pairs <= 13 and certificate["rows"] == 2 * certificate["pairs"]
    assert certificate["rows_ending_inside_loss"] == certificate["rows"]
    assert "⟦green<|im_end|>⟧" in "".join(certificate["shown"]) or "⟦red<|im_end|>⟧" in "".join(certificate["shown"])
    steps = pairs.metrics(folder)
    assert [each["step"] for each in steps] == [1, 2, 3, 4, 5, 6] and result.steps == 6
    for each in steps:
        assert {"loss", "accuracy", "margin", "chosen_change", "rejected_change"} <= each.keys()
        assert each["margin"] == pytest.approx(0.1 * (each["chosen_change"] - each["rejected_change"]), abs=1e-4)
    assert [each["step"] for each in steps if "dev_loss" in each] == [3, 6] and "dev_accuracy" in steps[2]
    assert sum(each["trained_tokens"] for each in steps) == 2 * certificate["trained_tokens"]
    assert result.dev_loss == min(each["dev_loss"] for each in steps if "dev_loss" in each) < result.dev_loss_before
    stored = json.loads((folder / "result.json").read_text())
    assert (
        stored["quality"] == result.quality
        and result.quality["accuracy"] == steps[result.best_step - 1]["dev_accuracy"]
    )
    assert result.trained == folder / "adapter" and (folder / "README.md").is_file()
    assert "held-out loss" in (folder / "report.html").read_text()
    assert not list(folder.rglob("*.new")) and not (folder / "rejects.jsonl").exists()


def test_at_the_start_the_policy_is_the_reference(finished: tuple[DpoConfig, TrainingResult]) -> None:
    """Its log-probabilities are the reference's, so every pair is a tie and the loss is ln 2."""
    settings, result = finished
    first = pairs.metrics(Path(settings.out))[0]
    assert first["chosen_change"] == pytest.approx(0, abs=1e-4)
    assert first["rejected_change"] == pytest.approx(0, abs=1e-4)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert result.dev_loss_before == pytest.approx(math.log(2), abs=1e-5)
    known = load_file(Path(settings.out) / REFERENCE / "log_probs.safetensors")
    chosen, rejected = held_out(settings, settings.base)
    torch.testing.assert_close(known["dev"], torch.stack((chosen, rejected), 1), rtol=1e-5, atol=1e-4)
    assert len(known["train"]) == json.loads((Path(settings.out) / "certificate.json").read_text())["pairs"]


def test_the_figures_are_those_of_the_model_that_was_written(finished: tuple[DpoConfig, TrainingResult]) -> None:
    settings, result = finished
    known = load_file(Path(settings.out) / REFERENCE / "log_probs.safetensors")["dev"]
    chosen, rejected = held_out(settings, settings.out)
    assert float((chosen - known[:, 0]).mean()) == pytest.approx(result.quality["chosen_change"], abs=1e-3)
    assert float((rejected - known[:, 1]).mean()) == pytest.approx(result.quality["rejected_change"], abs=1e-3)
    gap = (chosen - known[:, 0]) - (rejected - known[:, 1])
    assert float(-torch.nn.functional.logsigmoid(0.1 * gap).mean()) == pytest.approx(result.dev_loss, abs=1e-4)
    assert result.quality["margin"] > 0.01


def test_the_result_chats_and_peft_loads_it(finished: tuple[DpoConfig, TrainingResult]) -> None:
    settings, result = finished
    local = LocalModel.open(locate(settings.out), torch.float32)
    asked = [{"role": "user", "content": "the colour of 7"}]
    (reply,) = local.generate([asked], Sampling(max_new_tokens=4))  # type: ignore[list-item]
    assert len(reply.token_ids) in range(1, 5)
    plain = AutoModelForCausalLM.from_pretrained(settings.base, dtype=torch.float32)
    rows = tiny_models.rows([9, 17])
    with torch.no_grad():
        theirs = tiny_models.reference_log_probs(PeftModel.from_pretrained(plain, result.trained).eval(), rows)
        torch.testing.assert_close(batch_log_probs(local.model, pack(rows)), theirs, rtol=1e-4, atol=1e-5)


def test_the_same_command_again_answers_from_the_folder(
    finished: tuple[DpoConfig, TrainingResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, result = finished
    monkeypatch.setattr("sartor.recipes.training.load_packed", None)  # nothing is trained
    assert run(settings) == result


def test_other_settings_are_refused(finished: tuple[DpoConfig, TrainingResult]) -> None:
    settings, _ = finished
    with pytest.raises(UsageError, match="begun with other settings"):
        run(settings.model_copy(update={"beta": 0.2}))


@pytest.mark.parametrize("loss", [*WITH_REFERENCE, *WITHOUT])
def test_every_loss_trains(base: Path, tmp_path: Path, loss: str) -> None:
    settings = config(base, pairs.write(tmp_path), loss=loss, beta=1.0 if loss in WITHOUT else 0.1)
    result = run(settings)
    needs = loss in WITH_REFERENCE
    assert (result.out / REFERENCE).is_dir() == needs
    steps = pairs.metrics(result.out)
    assert all(("chosen_change" in each) == needs and {"loss", "accuracy", "margin"} <= each.keys() for each in steps)
    assert result.dev_loss < result.dev_loss_before
    assert steps[-1]["margin"] > steps[0]["margin"]


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"loss": "ipo", "label_smoothing": 0.1}, "label_smoothing has no effect on the loss ipo"),
        ({"target_margin": 1.0}, "target_margin has no effect on the loss sigmoid"),
        ({"loss": "simpo", "length_normalised": True}, "length_normalised has no effect on the loss simpo"),
        ({"loss": "orpo", "supervised_weight": 0.5}, "supervised_weight has no effect on the loss orpo"),
    ],
)
def test_a_setting_without_effect_is_refused(base: Path, tmp_path: Path, settings: dict[str, Any], where: str) -> None:
    with pytest.raises(UsageError, match=where) as raised:
        run(config(base, pairs.write(tmp_path), **settings))
    assert raised.value.where == f"--loss {settings.get('loss', 'sigmoid')}"
    assert not (tmp_path / "run").exists()


def test_a_fine_tuned_run_goes_on_from_its_adapter_which_is_the_reference(
    base: Path, finetuned: Path, tmp_path: Path
) -> None:
    settings = DpoConfig(
        data=str(pairs.write(tmp_path)), base=str(finetuned), out=str(tmp_path / "run"), epochs=1, evaluations=1,
        batch_rows=10, learning_rate=3e-3,
    )  # fmt: skip
    result = run(settings)
    before = json.loads((result.out / "plan.json").read_text())["before"]  # without the dropout of the adapter
    assert before["dev_chosen_change"] == pytest.approx(0, abs=1e-4)
    assert result.dev_loss_before == pytest.approx(math.log(2), abs=1e-5)
    known = load_file(result.out / REFERENCE / "log_probs.safetensors")["dev"]
    chosen, rejected = held_out(settings, finetuned)
    torch.testing.assert_close(known, torch.stack((chosen, rejected), 1), rtol=1e-5, atol=1e-4)
    assert (held_out(settings, base)[0] - chosen).abs().max() > 0.1, "the reference is not the plain base"
    written = json.loads((result.trained / "adapter_config.json").read_text())
    assert written["r"] == 3 and written["base_model_name_or_path"] == str(base.resolve())
    before, after = (load_file(run / "adapter" / "adapter_model.safetensors") for run in (finetuned, result.out))
    assert before.keys() == after.keys()
    moved = max(float((before[name] - after[name]).abs().max()) for name in before)
    assert 1e-4 < moved < 0.1, "it went on from where it was"
    gap = held_out(settings, result.out)
    assert float((gap[0] - known[:, 0]).mean()) == pytest.approx(result.quality["chosen_change"], abs=1e-3)


@pytest.mark.parametrize(
    "setting", [{"lora_rank": 8}, {"lora_dropout": 0.1}, {"dora": True}, {"adapter": "none"}, {"rslora": True}]
)
def test_settings_of_a_new_adapter_are_refused_where_one_goes_on(
    finetuned: Path, tmp_path: Path, setting: dict[str, Any]
) -> None:
    (name,) = setting
    settings = DpoConfig(data=str(pairs.write(tmp_path)), base=str(finetuned), out=str(tmp_path / "run"), **setting)
    with pytest.raises(UsageError, match="trained further as it is") as raised:
        run(settings)
    assert raised.value.where == f"--{name.replace('_', '-')}" and not (tmp_path / "run").exists()


@pytest.mark.parametrize("settings", [{"adapter": "none", "learning_rate": 1e-3}, {"adapter": "qlora"}, {"dora": True}])
def test_other_ways_of_training_begin_at_their_reference(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    result = run(config(base, pairs.write(tmp_path), **settings))
    first, *_, last = pairs.metrics(result.out)
    assert first["chosen_change"] == pytest.approx(0, abs=1e-4) and first["loss"] == pytest.approx(
        math.log(2), abs=1e-5
    )
    assert last["margin"] > 0.01 and result.dev_loss < result.dev_loss_before
    assert result.trained.name == ("model" if settings.get("adapter") == "none" else "adapter")
    known = load_file(result.out / REFERENCE / "log_probs.safetensors")["dev"]
    found = held_out(config(base, tmp_path / "pairs.jsonl", **settings), result.out)
    assert float((found[0] - known[:, 0]).mean()) == pytest.approx(result.quality["chosen_change"], abs=2e-3)


def test_the_reference_is_kept_when_a_run_goes_on(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was computed once; a resumed run, whose model is no longer it, ends bit for bit as one that was not stopped,
    dropout included."""
    folders = [tmp_path / "one", tmp_path / "two"]
    settings = []
    for folder in folders:
        folder.mkdir()
        settings.append(config(base, pairs.write(folder), lora_dropout=0.2))
    run(settings[0])

    def fail(*arguments: object) -> None:
        raise SartorError("stopped here")

    with monkeypatch.context() as patched:
        patched.setattr("sartor.recipes.training.adapter_files", fail)
        with pytest.raises(SartorError, match="stopped here"):
            run(settings[1])
    shutil.rmtree(folders[1] / "run" / "checkpoints" / "step-6")  # back to what was saved half way
    monkeypatch.setattr("sartor.recipes.dpo_stage.reference_log_probs", None)
    run(settings[1])
    first, second = (load_file(folder / "run" / "adapter" / "adapter_model.safetensors") for folder in folders)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert pairs.metrics(folders[0] / "run") == pairs.metrics(folders[1] / "run")


def test_the_base_s_own_dropout_is_off_as_in_the_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    actors._say_dropout_is_left_out.cache_clear()
    base = gpt2.folder(tmp_path / "gpt2", dropout=0.1)
    settings = config(base, pairs.write(tmp_path), epochs=0.4, evaluations=1)
    first = pairs.metrics(run(settings).out)[0]
    assert first["chosen_change"] == pytest.approx(0, abs=1e-4)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert capsys.readouterr().err.count("the model's own dropout of up to 0.1 is left out") == 1


def test_a_conversation_s_earlier_answers_are_not_trained(base: Path, tmp_path: Path) -> None:
    row = {
        "prompt": [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "and the dog"},
                   {"role": "user", "content": "and the mat"}],
        "chosen": [{"role": "assistant", "content": "red"}], "rejected": [{"role": "assistant", "content": "blue"}],
    }  # fmt: skip
    stage = DpoStage(config(base, pairs.write(tmp_path, [row, *pairs.ROWS])))
    (chosen,) = [pair.chosen for pair in [*stage.prepared.train, *stage.prepared.dev] if pair.where.endswith(":1")]
    learnt = [token for token, trained in zip(chosen.ids, chosen.trained, strict=True) if trained]
    assert stage.prepared.chat.tokenizer.decode(learnt) == "red<|im_end|>"


def test_pairs_that_cannot_be_used(base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all pairs answer the same prompt"):
        run(config(base, pairs.write(tmp_path, [pairs.ROWS[0], {**pairs.ROWS[0], "chosen": "grey"}])))
    with pytest.raises(DataError, match="no pair fits"):
        run(config(base, pairs.write(tmp_path), max_row_tokens=8))
    assert not (tmp_path / "run").exists()


def test_the_command(finetuned: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = pairs.write(tmp_path)
    words = ["dpo", str(file), "--out", str(tmp_path / "run"), "--batch-rows", "20", "--epochs", "1"]
    words += ["--evaluations", "1"]
    words += ["--base", str(finetuned)]
    assert main([*words, "--dry-run", "--json"]) == 0
    plan = json.loads(capfd.readouterr().out)
    assert plan["fits"] and plan["estimate"]["steps"] == 2 and not (tmp_path / "run").exists()
    assert plan["measured"]["times"]["beforehand"] > 0
    assert main([*words, "--lora-rank", "2"]) == 2
    assert "--lora-rank" in capfd.readouterr().err
    assert main(words) == 0
    shown = capfd.readouterr().out
    assert "held-out pairs right" in shown and f"sartor chat {tmp_path / 'run'}" in shown
    assert main([*words, "--json"]) == 0
    assert 0 <= json.loads(capfd.readouterr().out)["quality"]["accuracy"] <= 1
