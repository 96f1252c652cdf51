"""`sartor reward` on a tiny model: what a run leaves, what it refuses, and that its scores are the trained ones."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sartor.adapters.reward_store import is_reward_model, load_reward_tensors, prepare_base, read_reward_settings
from sartor.adapters.roles import acting, add_role
from sartor.base.configuration import build, load_yaml
from sartor.base.errors import DataError, SartorError, UsageError
from sartor.base.run_folder import RunFolder
from sartor.cli.main import main
from sartor.data.chat import ChatFormat
from sartor.data.pairs import PairBatch, scored
from sartor.models.forward import load_packed
from sartor.models.hub import load_tokenizer
from sartor.models.scalar_head import ScalarHead
from sartor.recipes.reward import RewardConfig, run
from sartor.recipes.reward_stage import RewardStage, pair_rewards
from sartor.recipes.stage import TrainingResult
from sartor.train.row_scores import row_scores
from tests.recipes import pairs


def config(base: Path, file: Path, **settings: Any) -> RewardConfig:
    values = {
        "batch_rows": 12, "epochs": 2, "evaluations": 2, "lora_rank": 4, "micro_batch_tokens": 256,
        "learning_rate": 1e-2, **settings,
    }  # fmt: skip
    return RewardConfig(data=str(file), base=str(base), out=str(file.parent / "run"), **values)


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RewardConfig, TrainingResult]:
    settings = config(base, pairs.write(tmp_path_factory.mktemp("finished")))
    with pytest.MonkeyPatch.context() as patch:
        pairs.computed_in_float32(patch)
        return settings, run(settings)


def test_a_run_leaves_all_that_it_came_to(finished: tuple[RewardConfig, TrainingResult]) -> None:
    settings, result = finished
    folder = Path(settings.out)
    assert build(RewardConfig, load_yaml(folder / "config.yaml")) == settings
    assert json.loads((folder / "environment.json").read_text())["run"] == "reward"
    certificate = certificate_of(settings)
    held_out = 40 - certificate["pairs"]
    assert 0 < held_out <= 13 and certificate["rows"] == 2 * certificate["pairs"]
    assert certificate["trained_tokens"] == certificate["rows"], "of each row the reward is read at one token"
    assert certificate["shared_prompt_tokens"] > 8 * certificate["pairs"] and certificate["pairs_too_long"] == 0
    steps = pairs.metrics(folder)
    assert [each["step"] for each in steps] == [1, 2, 3, 4, 5, 6] and result.steps == 6
    shared = {"loss", "learning_rate", "gradient_norm"}
    for each in steps:
        assert {"accuracy", "margin", "chosen_reward", "rejected_reward"} | shared <= each.keys()
        assert each["margin"] == pytest.approx(each["chosen_reward"] - each["rejected_reward"], abs=1e-4)
        assert 0 <= each["accuracy"] <= 1
    assert [each["step"] for each in steps if "dev_loss" in each] == [3, 6]
    assert {"dev_loss", "dev_accuracy", "dev_margin"} <= steps[2].keys()
    assert result.dev_loss == min(each["dev_loss"] for each in steps if "dev_loss" in each) < result.dev_loss_before
    checkpoint = RunFolder(folder).newest_checkpoint()
    assert checkpoint is not None and checkpoint.step == 6
    stored = json.loads((folder / "result.json").read_text())
    assert stored["quality"] == json.loads(json.dumps(result.quality)) and stored["dev_loss"] == result.dev_loss
    assert result.trained == folder / "adapter" and is_reward_model(result.trained)
    assert not list(folder.rglob("*.new")) and not (folder / "rejects.jsonl").exists()
    assert f"{certificate['pairs']} rows, {held_out} held out" in (folder / "README.md").read_text()
    assert "held-out loss" in (folder / "report.html").read_text()


def test_the_quality_is_that_of_the_best_weights(finished: tuple[RewardConfig, TrainingResult]) -> None:
    settings, result = finished
    best = pairs.metrics(Path(settings.out))[result.best_step - 1]
    assert result.quality["accuracy"]["mean"] == pytest.approx(best["dev_accuracy"])
    assert result.quality["pairs"] == result.quality["accuracy"]["n"] == 40 - certificate_of(settings)["pairs"]


def certificate_of(settings: RewardConfig) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(settings.out) / "certificate.json").read_text())
    return found


def test_what_was_saved_scores_the_held_out_pairs_as_the_run_did(
    finished: tuple[RewardConfig, TrainingResult],
) -> None:
    """On a base with another adapter, and normalised to mean 0 and deviation 1 by the scale beside it."""
    settings, result = finished
    stage = RewardStage(settings)
    model = load_packed(stage.base, torch.float32)
    prepare_base(model, result.trained)
    lora, scale, name = read_reward_settings(result.trained)
    assert name == str(Path(settings.base).resolve())
    head = ScalarHead(32)
    load_reward_tensors(add_role(model, "reward", lora), head, result.trained)
    with torch.no_grad(), acting(model, "reward"):
        found = row_scores(model, head, PairBatch.of([scored(pair) for pair in stage.prepared.dev]).rows).numpy()
    accuracy = float(np.mean((np.sign(found[::2] - found[1::2]) + 1) / 2))
    best = pairs.metrics(Path(settings.out))[result.best_step - 1]
    assert accuracy == pytest.approx(best["dev_accuracy"])
    assert float(np.mean(found[::2] - found[1::2])) == pytest.approx(best["dev_margin"], rel=1e-4)
    assert float(-np.log(1 / (1 + np.exp(found[1::2] - found[::2]))).mean()) == pytest.approx(result.dev_loss, rel=1e-4)
    assert found.mean() == pytest.approx(scale.mean, abs=1e-4) and found.std() == pytest.approx(
        scale.deviation, rel=1e-4
    )


def test_the_same_command_again_answers_from_the_folder(
    finished: tuple[RewardConfig, TrainingResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, result = finished
    monkeypatch.setattr("sartor.recipes.training.load_packed", None)  # nothing is trained
    assert json.dumps(run(settings).as_dict()) == json.dumps(result.as_dict())


def test_other_settings_are_refused(finished: tuple[RewardConfig, TrainingResult]) -> None:
    settings, _ = finished
    with pytest.raises(UsageError, match="begun with other settings"):
        run(settings.model_copy(update={"centering": 0.0}))


def test_before_the_first_step_the_loss_is_near_a_coin_s(base: Path, tmp_path: Path) -> None:
    """The head's start is a function of the seed: the same run begins alike, and another seed otherwise."""
    file = pairs.write(tmp_path)
    losses = []
    for seed in (0, 0, 1):
        stage = RewardStage(config(base, file, seed=seed))
        losses.append(stage.evaluate(stage.complete().eval())["dev_loss"])
    assert losses[0] == losses[1] != losses[2]
    assert all(loss == pytest.approx(np.log(2), abs=0.5) for loss in losses)


def test_rewards_are_in_the_pairs_order_whatever_the_cut(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs.computed_in_float32(monkeypatch)
    stage = RewardStage(config(base, pairs.write(tmp_path)))
    model, asked = stage.complete().eval(), stage.prepared.train
    assert len({pair.num_tokens for pair in asked}) > 3
    expected = np.concatenate([pair_rewards(model, [pair], 256) for pair in asked])
    for cut in (64, 300, 100_000):
        np.testing.assert_allclose(pair_rewards(model, asked, cut), expected, atol=1e-4)
    assert np.abs(expected - expected[::-1]).max() > 0.05


def test_a_resumed_run_ends_as_an_uninterrupted_one(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    settings = []
    for folder in folders:
        folder.mkdir()
        settings.append(config(base, pairs.write(folder), lora_dropout=0.2))
    run(settings[0])

    def fail(*arguments: object) -> None:
        raise SartorError("stopped here")

    with monkeypatch.context() as patched:
        patched.setattr("sartor.recipes.reward_stage.reward_files", fail)
        with pytest.raises(SartorError, match="stopped here"):
            run(settings[1])
    shutil.rmtree(folders[1] / "run" / "checkpoints" / "step-6")  # back to what was saved half way
    run(settings[1])
    first, second = (load_file(folder / "run" / "adapter" / "adapter_model.safetensors") for folder in folders)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert (folders[0] / "run" / "adapter" / "sartor.json").read_bytes() == (
        folders[1] / "run" / "adapter" / "sartor.json"
    ).read_bytes()


@pytest.mark.parametrize("settings", [{"adapter": "qlora"}, {"dora": True}, {"activation_checkpointing": True}])
def test_other_adapters(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    result = run(config(base, pairs.write(tmp_path), epochs=0.5, evaluations=1, **settings))
    lora, _, _ = read_reward_settings(result.trained)
    assert lora.weight_decomposed == bool(settings.get("dora"))
    model = load_packed(base, torch.float32)
    prepare_base(model, result.trained)
    load_reward_tensors(add_role(model, "reward", lora), ScalarHead(32), result.trained)


def test_pairs_that_cannot_be_used(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = {"prompt": "the cat " * 60, "chosen": "red", "rejected": "blue"}
    file = pairs.write(tmp_path, [*pairs.ROWS, long, {"prompt": "x", "chosen": "same", "rejected": "same"}])
    with pytest.raises(DataError, match="are the same"):
        run(config(base, file))
    result = run(config(base, file, on_bad_row="skip", max_row_tokens=60, epochs=0.5, evaluations=1, dev=str(file)))
    rejects = [json.loads(line) for line in (result.out / "rejects.jsonl").read_text().splitlines()]
    assert [each["where"] for each in rejects] == [f"{file}:42"] * 2  # of the pairs to learn from and of those held out
    certificate = json.loads((result.out / "certificate.json").read_text())
    assert (certificate["pairs"], certificate["pairs_too_long"], certificate["rows_too_long"]) == (40, 1, 2)
    assert "1 held-out pairs left out: too long" in capsys.readouterr().err
    shutil.rmtree(result.out)
    with pytest.raises(DataError, match="no pair fits"):
        run(config(base, file, on_bad_row="skip", max_row_tokens=8))
    with pytest.raises(DataError, match="all pairs answer the same prompt"):
        run(config(base, pairs.write(tmp_path, [pairs.ROWS[0], {**pairs.ROWS[0], "chosen": "grey"}])))
    assert not result.out.exists()


def test_the_command(base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = pairs.write(tmp_path)
    words = ["reward", str(file), "--base", str(base), "--out", str(tmp_path / "run"), "--batch-rows", "20"]
    words += ["--epochs", "1", "--evaluations", "1", "--lora-rank", "2"]
    assert main([*words, "--dry-run", "--json"]) == 0
    plan = json.loads(capfd.readouterr().out)
    assert plan["fits"] and plan["estimate"]["steps"] == 2 and not (tmp_path / "run").exists()
    head = 32
    assert plan["measured"]["work"]["trained_parameters"] > head
    assert main(words) == 0
    shown = capfd.readouterr().out
    assert "held-out pairs right" in shown and f"--reward {tmp_path / 'run'}" in shown
    assert main([*words, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["quality"]["accuracy"] is not None
    assert main([*words, "--adapter", "none"]) == 2


def test_what_is_read_is_shown(base: Path, tmp_path: Path) -> None:
    """Only the end of the turn is marked in the certificate: there the reward is read."""
    tokenizer = ChatFormat(load_tokenizer(base)).tokenizer
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    stage = RewardStage(config(base, pairs.write(tmp_path)))
    assert all(pair.chosen.ids[-1] == pair.rejected.ids[-1] == end for pair in stage.prepared.train)
    shown = stage.certificate["shown"]
    assert shown[0].count("<|im_end|>") == 2 and len(shown) >= 2
