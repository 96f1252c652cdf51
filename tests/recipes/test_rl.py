"""`sartor ppo` and `sartor grpo` on a tiny model: what a run leaves and refuses, and that every option is heeded."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sartor.adapters.store import read_settings
from sartor.base.configuration import build, load_yaml
from sartor.base.errors import DataError, SartorError, UsageError
from sartor.base.run_folder import RunFolder
from sartor.cli.main import main
from sartor.data.chat import ChatFormat
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Sampling
from sartor.models.hub import load_tokenizer, locate
from sartor.recipes import grpo, ppo, rl
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.finetune import run as finetune
from sartor.recipes.grpo import GrpoConfig
from sartor.recipes.ppo import PpoConfig
from sartor.recipes.reward import RewardConfig
from sartor.recipes.reward import run as reward
from sartor.recipes.rl import Parts, RolloutResult, rollout_sizes
from sartor.recipes.rl_methods import grpo_method, ppo_method
from sartor.recipes.rl_prompts import prepare_prompts
from sartor.train.actors import POLICY, REFERENCE
from sartor.train.estimates import GroupEstimate, ValueEstimate
from sartor.train.rollouts import RolloutSource, answered
from sartor.train.traces import read_traces
from tests import tiny_folders
from tests.recipes import gpt2, pairs
from tests.recipes.pairs import metrics
from tests.recipes.prompts import grpo_config, ppo_config, write

SHARED_METRICS = {
    "reward", "reward_deviation", "kl", "entropy", "clip_share", "ratio", "policy_loss", "answer_tokens",
    "finished_share", "log_prob_gap", "log_prob_gap_mean", "loss", "learning_rate", "gradient_norm",
}  # fmt: skip
PPO_METRICS = {"value_loss", "explained_variance", "value_clip_share", "kl_coefficient"}


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    in_float32(monkeypatch)


def in_float32(patch: pytest.MonkeyPatch) -> None:
    pairs.computed_in_float32(patch)
    patch.setattr("sartor.recipes.rl_model.compute_dtype", lambda device: torch.float32)


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[PpoConfig, RolloutResult]:
    settings = ppo_config(base, write(tmp_path_factory.mktemp("finished")), minibatches=2)
    with pytest.MonkeyPatch.context() as patch:
        in_float32(patch)
        return settings, ppo.run(settings)


@pytest.fixture(scope="module")
def finetuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned run whose adapter has rank 2."""
    folder = tmp_path_factory.mktemp("finetuned")
    rows = [{"question": f"the colour of {n * 7919}", "answer": "red"} for n in range(30)]
    tiny_folders.write_rows(folder / "rows.jsonl", rows)
    settings: dict[str, Any] = {"lora_rank": 2, "epochs": 2, "evaluations": 1, "learning_rate": 1e-2}
    config = FinetuneConfig(data=str(folder / "rows.jsonl"), base=str(base), out=str(folder / "run"), **settings)
    return finetune(config).out


def reward_run(base: Path, folder: Path) -> Path:
    file = pairs.write(folder)
    settings: dict[str, Any] = {"lora_rank": 2, "epochs": 1, "evaluations": 1, "learning_rate": 1e-2}
    return reward(RewardConfig(data=str(file), base=str(base), out=str(folder / "judge"), **settings)).out


def test_a_run_leaves_all_that_it_came_to(finished: tuple[PpoConfig, RolloutResult]) -> None:
    settings, result = finished
    folder = Path(settings.out)
    assert build(PpoConfig, load_yaml(folder / "config.yaml")) == settings
    assert json.loads((folder / "environment.json").read_text())["run"] == "ppo"
    certificate = json.loads((folder / "certificate.json").read_text())
    assert certificate["rewards"] == {"length": 1.0} and certificate["prompts_too_long"] == 0
    steps = metrics(folder)
    batches = -(-certificate["prompts"] // 6)
    assert result.steps == len(steps) == batches * 4
    for each in steps:
        assert each.keys() >= SHARED_METRICS | PPO_METRICS
    assert steps[0]["kl"] == 0.0 and steps[0]["ratio"] == pytest.approx(1) and steps[-1]["kl"] != 0.0
    for first in range(0, len(steps), 4):
        assert (
            len({json.dumps([each[name] for name in ("reward", "kl", "entropy")]) for each in steps[first:][:4]}) == 1
        )
    evaluated = [each for each in steps if "dev_reward" in each]
    assert [each["step"] for each in evaluated] == [-(-batches // 2) * 4, batches * 4]
    best = max(evaluated, key=lambda each: each["dev_reward"])
    assert result.best_step == best["step"]
    held_out = json.loads((folder / "held_out_rewards.json").read_text())
    assert sum(held_out["before"]) / len(held_out["before"]) == pytest.approx(result.dev_reward_before)
    assert sum(held_out["after"]) / len(held_out["after"]) == pytest.approx(result.dev_reward)
    assert result.difference[0] == pytest.approx(result.dev_reward - result.dev_reward_before)
    traces = read_traces(folder / "traces.jsonl")
    assert [trace.step for trace in traces] == [1 + 4 * (n // 2) for n in range(2 * batches)]
    page = (folder / "report.html").read_text()
    assert traces[-1].where.rpartition("/")[2] in page and "held-out reward" in page.lower()
    assert f"{certificate['prompts']} prompts" in (folder / "README.md").read_text()
    assert not list(folder.rglob("*.new")) and not (folder / "rejects.jsonl").exists()
    checkpoint = RunFolder(folder).newest_checkpoint()
    assert checkpoint is not None and (checkpoint.folder / "source.safetensors").is_file()


def test_the_result_chats_and_is_an_adapter_of_the_base(finished: tuple[PpoConfig, RolloutResult]) -> None:
    settings, result = finished
    lora, base_name = read_settings(result.trained)
    assert (lora.rank, base_name) == (3, str(Path(settings.base).resolve()))
    asked = [{"role": "user", "content": "the colour of 7"}]
    (reply,) = LocalModel.open(locate(settings.out), torch.float32).generate([asked], Sampling(max_new_tokens=4))  # type: ignore[list-item]
    assert 1 <= len(reply.token_ids) <= 4
    saved = load_file(result.trained / "adapter_model.safetensors")
    assert any(tensor.abs().max() > 0 for name, tensor in saved.items() if "lora_B" in name)
    assert not any("value" in name or "score" in name for name in saved)


def test_the_same_command_again_answers_from_the_folder(
    finished: tuple[PpoConfig, RolloutResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, result = finished
    monkeypatch.setattr("sartor.recipes.rl_model.load_packed", None)  # nothing is learnt
    assert ppo.run(settings) == result


def test_other_settings_are_refused(finished: tuple[PpoConfig, RolloutResult]) -> None:
    settings, _ = finished
    with pytest.raises(UsageError, match="begun with other settings"):
        ppo.run(settings.model_copy(update={"clip": 0.1}))


def test_several_processes_are_refused(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sartor.recipes.rl.world_size", lambda: 2)
    with pytest.raises(UsageError, match="sampled in one process"):
        rl.run_method(config := ppo_config(base, write(tmp_path)), ppo_method(config), config.out, [])
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_in_the_middle_of_a_batch(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by a signal after each of its steps in turn, it ends with the bits of one that was not."""
    folders = [tmp_path / "one", tmp_path / "two"]
    configs = []
    for folder in folders:
        folder.mkdir()
        settings = {"minibatches": 2, "reward": ["length:4", "0.1*finished"]}
        configs.append(ppo_config(base, write(folder), kl_target=1.0, **settings))
    ppo.run(configs[0])
    for _ in range(40):
        with monkeypatch.context() as patched:
            patched.setattr("sartor.train.loop.any_of", lambda happened: True if happened is False else happened)
            patched.setattr("sartor.train.loop._gradients", _without_stopping())
            try:
                ppo.run(configs[1])
                break
            except SartorError as error:
                assert "stopped after step" in error.what
    first, second = (Path(config.out) for config in configs)
    for name in ("metrics.jsonl", "held_out_rewards.json", "adapter/adapter_model.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    traces = [(run / "traces.jsonl").read_text().replace(str(run.parent), "") for run in (first, second)]
    assert traces[0] == traces[1]


def _without_stopping() -> Any:
    """The loop's own `_gradients` with its own `any_of`, which asks about losses that are not finite."""
    from sartor.base.distributed import any_of
    from sartor.train import loop

    original = loop._gradients

    def gradients(*arguments: Any) -> Any:
        stopping, loop.any_of = loop.any_of, any_of
        try:
            return original(*arguments)
        finally:
            loop.any_of = stopping

    return gradients


def test_a_task_is_rewarded_by_its_own_scorer(base: Path, tmp_path: Path) -> None:
    task = tiny_folders.task(tmp_path / "task", scorer="regex")
    settings = grpo_config(base, task, reward=[], epochs=0.2, out=str(tmp_path / "run"))
    result = grpo.run(settings)
    certificate = json.loads((result.out / "certificate.json").read_text())
    assert certificate["rewards"] == {"regex": 1.0}
    assert certificate["prompts"] + certificate["held_out_prompts"] == 40
    assert certificate["prompts_with_accepted_answers"] == certificate["prompts"]
    assert "tell me harbour" not in (result.out / "traces.jsonl").read_text()
    for each in metrics(result.out):
        assert each.keys() >= SHARED_METRICS and not PPO_METRICS & each.keys()


def test_a_scorer_needs_accepted_answers(base: Path, tmp_path: Path) -> None:
    rows = write(tmp_path, [{"prompt": f"the colour of {n}"} for n in range(12)])
    with pytest.raises(DataError, match="answer"):
        grpo.run(grpo_config(base, rows, reward=["exact"]))
    with pytest.raises(UsageError, match="there is no reward"):
        grpo.run(grpo_config(base, rows, reward=[]))
    assert not (tmp_path / "run").exists()


def test_ppo_with_a_reward_model(base: Path, tmp_path: Path) -> None:
    judge = reward_run(base, tmp_path)
    result = ppo.run(ppo_config(base, write(tmp_path), reward=[f"0.5*{judge}", "0.1*finished"]))
    for each in metrics(result.out):
        expected = 0.5 * each["reward_model"] + 0.1 * each["reward_finished"]
        assert each["reward"] == pytest.approx(expected, abs=1e-5)
    certificate = json.loads((result.out / "certificate.json").read_text())
    assert certificate["rewards"] == {"model": 0.5, "finished": 0.1}


def test_going_on_from_a_fine_tuned_run(base: Path, finetuned: Path, tmp_path: Path) -> None:
    """It is the reference, its adapter's settings stay, and what is saved is an adapter of the whole model."""
    settings = ppo_config(finetuned, write(tmp_path), lora_rank=16)
    parts = Parts.of(settings, ppo_method(settings))
    assert parts.actors.reference == REFERENCE
    source = RolloutSource(
        parts.actors, parts.prepared.train, parts.rewards, ppo_method(settings).estimate(),
        rollout_sizes(settings, ppo_method(settings)),
    )  # fmt: skip
    source.step(0)
    assert source.metrics()["kl"] == 0.0
    result = ppo.run(settings)
    lora, base_name = read_settings(result.trained)
    assert (lora.rank, base_name) == (2, str(base.resolve()))
    before, after = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (finetuned, result.out))
    assert before.keys() == after.keys() and any(not torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(UsageError, match="is an adapter"):
        ppo.run(ppo_config(finetuned, write(tmp_path), lora_rank=8, out=str(tmp_path / "other")))


def parts_of(config: PpoConfig | GrpoConfig) -> tuple[rl.Method, Any, Any]:
    method = ppo_method(config) if isinstance(config, PpoConfig) else grpo_method(config)
    return method, method.loss(None), rollout_sizes(config, method)  # type: ignore[arg-type]


def test_every_option_of_ppo_is_heeded(base: Path, tmp_path: Path) -> None:
    settings = ppo_config(
        base, write(tmp_path), clip=0.11, clip_high=0.31, entropy_coefficient=0.04, value_coefficient=0.6,
        value_clip=0.7, passes=3, minibatches=2, unfinished_penalty=0.9, temperature=0.8, seed=5, traced_answers=1,
        kl_coefficient=0.07, kl_target=2.0, kl_horizon=77.0, discount=0.99, gae_decay=0.8, normalise_reward=True,
        whiten_advantages=False,
    )  # fmt: skip
    method, loss, sizes = parts_of(settings)
    assert (loss.clip_low, loss.clip_high, loss.entropy_coefficient) == (0.11, 0.31, 0.04)
    assert (loss.value_coefficient, loss.value_clip, loss.penalty_coefficient) == (0.6, 0.7, 0.0)
    assert (sizes.prompts, sizes.answers, sizes.passes, sizes.minibatches) == (6, 2, 3, 2)
    assert (sizes.unfinished_penalty, sizes.temperature, sizes.seed, sizes.traced_answers) == (0.9, 0.8, 5, 1)
    assert (sizes.normalise, sizes.max_new_tokens, sizes.micro_batch_tokens) == ("tokens", 8, 128)
    estimate = method.estimate()
    assert isinstance(estimate, ValueEstimate) and estimate is not method.estimate() and method.with_value
    own = estimate.settings
    assert (own.kl_coefficient, own.kl_target, own.kl_horizon) == (0.07, 2.0, 77.0)
    assert (own.discount, own.decay, own.normalise_reward, own.whiten_advantages) == (0.99, 0.8, True, False)


@pytest.mark.parametrize("normalise", ["tokens", "answers", "constant"])
@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
def test_every_option_of_grpo_is_heeded(base: Path, tmp_path: Path, normalise: str, baseline: str) -> None:
    settings = grpo_config(
        base, write(tmp_path), clip=0.11, normalise=normalise, baseline=baseline, scale="none", kl_coefficient=0.3,
        answers=4,
    )  # fmt: skip
    method, loss, sizes = parts_of(settings)
    assert (loss.clip_low, loss.clip_high, loss.penalty_coefficient, sizes.normalise) == (0.11, 0.11, 0.3, normalise)
    estimate = method.estimate()
    assert isinstance(estimate, GroupEstimate) and not method.with_value
    assert (estimate.answers, estimate.baseline, estimate.scale) == (4, baseline, "none")


@pytest.mark.parametrize(
    "settings",
    [
        {"normalise": "constant", "scale": "none", "kl_coefficient": 0.0},
        {"baseline": "leave_one_out", "scale": "none", "clip_high": 0.28, "passes": 2, "minibatches": 3},
        {"adapter": "qlora"},
        {"dora": True},
        {"activation_checkpointing": True},
        {"max_minutes": 0.05, "epochs": 50.0},
    ],
)
def test_grpo_in_its_other_ways(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    result = grpo.run(grpo_config(base, write(tmp_path), **{"epochs": 0.5, "evaluations": 1, **settings}))
    steps = metrics(result.out)
    assert result.steps == len(steps) and steps[0].keys() >= SHARED_METRICS
    assert all(torch.isfinite(torch.tensor(each["loss"])) for each in steps)
    if "max_minutes" in settings:
        assert len(steps) < 50 * 4


def test_ppo_with_entropy_and_adaptive_penalty(base: Path, tmp_path: Path) -> None:
    result = ppo.run(ppo_config(base, write(tmp_path), entropy_coefficient=0.05, kl_target=5.0, kl_horizon=20.0))
    coefficients = [each["kl_coefficient"] for each in metrics(result.out)]
    assert coefficients[0] == 0.05 > coefficients[-1]


def test_a_single_held_out_prompt_has_no_interval(base: Path, tmp_path: Path) -> None:
    result = grpo.run(grpo_config(base, write(tmp_path), evaluation_prompts=1, epochs=0.3))
    assert result.difference[1:] == (None, None) and "of a single prompt" in (result.out / "README.md").read_text()
    assert grpo.run(grpo_config(base, write(tmp_path), evaluation_prompts=1, epochs=0.3)) == result


def test_more_minibatches_than_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="minibatches"):
        ppo_config("base", Path("rows.jsonl"), batch_rows=2, minibatches=3)


@pytest.mark.parametrize("scale", ["group", "batch"])
def test_a_baseline_of_the_others_is_not_scaled(scale: str) -> None:
    with pytest.raises(ValueError, match="give --scale none"):
        grpo_config("base", Path("rows.jsonl"), baseline="leave_one_out", scale=scale)


def test_dropout_is_refused() -> None:
    for config in (ppo_config, grpo_config):
        with pytest.raises(ValueError, match="--lora-dropout has no place here"):
            config("base", Path("rows.jsonl"), lora_dropout=0.1)


def test_the_first_update_begins_at_what_was_sampled_whatever_the_base_drops_out(tmp_path: Path) -> None:
    base = gpt2.folder(tmp_path / "gpt2", dropout=0.1)
    result = ppo.run(ppo_config(base, write(tmp_path), epochs=0.3, evaluations=1))
    first = metrics(result.out)[0]
    assert first["ratio"] == pytest.approx(1, abs=1e-5)
    assert first["clip_share"] == first["value_clip_share"] == 0


def test_the_last_figure_is_of_draws_that_chose_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All evaluations share their draws, no batch has them, and neither do the answers that are told of in the end."""
    asked: list[tuple[tuple[int, ...], ...]] = []

    def watched(actors: Any, prompts: Any, seeds: Any, *arguments: Any) -> Any:
        asked.append(tuple(tuple(each) for each in seeds))
        return answered(actors, prompts, seeds, *arguments)

    for module in ("sartor.recipes.rl", "sartor.train.rollouts"):
        monkeypatch.setattr(f"{module}.answered", watched)
    result = grpo.run(grpo_config(base, write(tmp_path), epochs=0.6, evaluations=2))
    before, last = asked[0], asked[-1]
    assert asked.count(before) == 3 and asked.count(last) == 1 and len(before) == len(last)
    drawn = [seed for each in dict.fromkeys(asked) for own in each for seed in own]
    assert len(set(drawn)) == len(drawn)
    after = json.loads((result.out / "held_out_rewards.json").read_text())["after"]
    assert result.dev_reward == pytest.approx(sum(after) / len(last))


def test_held_out_prompts_of_a_task_are_asked_as_the_task_asks(base: Path, tmp_path: Path) -> None:
    task = tiny_folders.task(tmp_path / "task")
    own = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "where else"}]
    rows = [{"question": "where", "answer": "north"}, {"messages": own, "answer": "south"}]
    tiny_folders.write_rows(tmp_path / "dev.jsonl", rows)
    settings = grpo_config(base, task, dev=str(tmp_path / "dev.jsonl"), reward=[], out=str(tmp_path / "run"))
    chat = ChatFormat(load_tokenizer(base))
    prepared = prepare_prompts(settings, chat, 4096)
    first, second = (each.prompt.messages for each in prepared.dev)
    assert first == [{"role": "system", "content": "Name the harbour."}, {"role": "user", "content": "where"}]
    assert second == own and chat.prompt(first) == prepared.dev[0].ids


def test_held_out_prompts_are_of_all_parts_of_a_sorted_file_and_counted(base: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"{'first' if n < 100 else 'second'} part, {n}"} for n in range(200)]
    tiny_folders.write_rows(tmp_path / "dev.jsonl", rows)
    settings = grpo_config(base, write(tmp_path), dev=str(tmp_path / "dev.jsonl"), evaluation_prompts=64)
    chat = ChatFormat(load_tokenizer(base))
    prepared = prepare_prompts(settings, chat, 4096)
    first = sum(each.prompt.question.startswith("first") for each in prepared.dev)
    assert len(prepared.dev) == 64 and 16 < first < 48
    assert prepared.certificate["held_out_prompts"] == 200
    assert prepared.certificate["held_out_prompts_answered"] == 64
    fewer = prepare_prompts(settings.model_copy(update={"evaluation_prompts": 20}), chat, 4096)
    assert {each.prompt.where for each in fewer.dev} < {each.prompt.where for each in prepared.dev}


def test_the_command(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    command = f"grpo rows.jsonl --base {base} --out run --reward length:4 --batch-rows 12 --answers 2 --lora-rank 2"
    assert main([*command.split(), "--max-new-tokens", "6", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == 2 and os.fspath(Path("run") / "adapter") == told["trained"]
    assert main([*command.split(), "--max-new-tokens", "6"]) == 0
    assert "held-out reward" in capsys.readouterr().out


def test_prompts_that_leave_no_room_are_left_out_and_told(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": f"the {n} " + "cat " * (300 if n % 5 == 0 else 1)} for n in range(20)]
    settings = grpo_config(base, write(tmp_path, rows), max_row_tokens=200)
    method = grpo_method(settings)
    parts = Parts.of(settings, method)
    assert parts.prepared.certificate["prompts_too_long"] > 0
    assert all(prompt.num_tokens + 8 <= 200 for prompt in parts.prepared.train)
    assert "too long to leave room" in capsys.readouterr().err
    assert replace(rollout_sizes(settings, method), seed=0).steps_per_batch == 1 and POLICY == "policy"
    with pytest.raises(DataError, match="leaves room for an answer"):
        Parts.of(grpo_config(base, write(tmp_path), max_row_tokens=12), method)
