"""The model of reinforcement learning: roles that share one base, and a reward model that says what it said."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.adapters.quantized import is_quantized
from sartor.adapters.reward_store import load_reward_tensors, prepare_base, read_reward_settings
from sartor.adapters.roles import acting, add_role, role_layers, role_linears
from sartor.base.errors import DataError, UsageError
from sartor.data.chat import ChatFormat
from sartor.data.packing import pack
from sartor.models.forward import load_packed
from sartor.models.hub import load_tokenizer
from sartor.models.scalar_head import ScalarHead
from sartor.recipes.reward import RewardConfig
from sartor.recipes.reward import run as reward
from sartor.recipes.rl_model import ModelReward, Start, build_actors, build_model, build_rewards
from sartor.train import actors
from sartor.train.actors import POLICY, REWARD, VALUE
from sartor.train.log_probs import batch_log_probs
from sartor.train.optimizer import trainable_parameters
from sartor.train.rewards.protocol import Answered
from sartor.train.row_scores import row_scores, token_values
from tests import tiny_folders, tiny_models
from tests.recipes import gpt2, pairs
from tests.recipes.prompts import ppo_config, write


def reward_run(base: Path, folder: Path, **settings: Any) -> Path:
    """A reward model trained with dropout, which must not be in its scores."""
    values = {"lora_rank": 4, "lora_dropout": 0.3, "epochs": 1, "evaluations": 1, "learning_rate": 1e-2, **settings}
    file = pairs.write(folder)
    return reward(RewardConfig(data=str(file), base=str(base), out=str(folder / "judge"), **values)).out


@pytest.fixture(scope="module")
def judge(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reward_run(base, tmp_path_factory.mktemp("judge"))


def answered(count: int = 9) -> list[Answered]:
    words = ("red", "green and blue", "white and nothing at all to the dog", "")
    return [
        Answered([{"role": "user", "content": f"the colour of {n}"}], words[n % 4], (), n % 7 + 1, n % 2 > 0, f"r:{n}")
        for n in range(count)
    ]


def test_all_roles_share_the_base_and_only_policy_and_value_function_learn(
    base: Path, judge: Path, tmp_path: Path
) -> None:
    config = ppo_config(base, write(tmp_path), reward=[str(judge)])
    model = build_model(config, Start.of(config), with_value=True)
    linears = role_linears(model)
    assert linears
    for linear in linears.values():
        assert set(linear.roles) == {POLICY, VALUE, REWARD}
        places = {role.base.weight.data_ptr() for role in linear.roles.values()}  # type: ignore[union-attr]
        assert places == {linear.base.weight.data_ptr()}  # type: ignore[union-attr]
    trained = trainable_parameters(model)
    assert all(".policy." in name or ".value." in name or name.startswith("value_head") for name in trained)
    for role in (POLICY, VALUE):
        held = [each for layer in role_layers(model, role).values() for each in (layer.lora_A, layer.lora_B)]
        assert {id(each) for each in held} <= {id(each) for each in trained.values()}
    assert len(trained) == 2 * 2 * len(linears) + 1


def test_without_a_value_function_only_the_policy_learns(base: Path, tmp_path: Path) -> None:
    config = ppo_config(base, write(tmp_path))
    model = build_model(config, Start.of(config), with_value=False)
    assert all(".policy." in name for name in trainable_parameters(model))
    assert build_actors(config, Start.of(config), model, None).value_head is None  # type: ignore[arg-type]


def test_the_start_is_a_function_of_the_seed(base: Path, tmp_path: Path) -> None:
    starts = []
    for seed in (0, 0, 1):
        config = ppo_config(base, write(tmp_path), seed=seed)
        model = build_model(config, Start.of(config), with_value=True)
        starts.append(torch.cat([layer.lora_A.flatten() for layer in role_layers(model, POLICY).values()]).detach())
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])


def test_a_value_function_starts_at_zero_or_as_the_scaled_reward_model(base: Path, judge: Path, tmp_path: Path) -> None:
    batch = pack(tiny_models.rows([9, 14, 5]))
    config = ppo_config(base, write(tmp_path))
    model = build_model(config, Start.of(config), with_value=True).eval()
    with torch.no_grad(), acting(model, VALUE):
        assert token_values(model, model.get_submodule("value_head"), batch).abs().max() == 0
    config = ppo_config(base, write(tmp_path), reward=[f"0.5*{judge}"])
    start = Start.of(config)
    model = build_model(config, start, with_value=True).eval()
    assert start.reward_run is not None and start.reward_run.weight == 0.5
    with torch.no_grad():
        with acting(model, VALUE):
            values = token_values(model, model.get_submodule("value_head"), batch)
        with acting(model, REWARD):
            raw = token_values(model, model.get_submodule("reward_head"), batch)
    assert raw.abs().max() > 0
    torch.testing.assert_close(values, raw * 0.5 / start.reward_run.scale.deviation, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_a_reward_model_says_what_it_said_alone_in_any_order(
    base: Path, judge: Path, tmp_path: Path, training: bool
) -> None:
    """Its dropout is off even while the policy learns, and the model is left in the mode that it was in."""
    config = ppo_config(base, write(tmp_path), reward=[str(judge)], micro_batch_tokens=64)
    start = Start.of(config)
    chat = ChatFormat(load_tokenizer(base))
    model = build_model(config, start, with_value=True).train(training)
    (weighted,) = build_rewards(config, start, model, chat, ["exact"])._parts.values()
    asked = answered()
    found = weighted.reward.score(asked)
    assert isinstance(weighted.reward, ModelReward) and weighted.weight == 1.0
    assert weighted.reward.score(asked[::-1]) == pytest.approx(found[::-1], abs=1e-2)
    assert model.training is training and all(module.training is training for module in model.modules())

    alone = load_packed(base, next(iter(role_linears(model).values())).base.weight.dtype)  # type: ignore[arg-type, union-attr]
    prepare_base(alone, judge / "adapter")
    lora, scale, _ = read_reward_settings(judge / "adapter")
    head = ScalarHead(32)
    load_reward_tensors(add_role(alone, "judge", lora), head, judge / "adapter")
    alone.eval()
    for each, score in zip(asked, found, strict=True):
        spoken = [*each.messages, {"role": "assistant", "content": each.text}]
        ids = chat.render(spoken, "")[-1].ids  # type: ignore[arg-type]
        end = max(place for place, token in enumerate(ids) if token in chat.stop_ids)
        row = tiny_models.rows([3])[0]
        row = type(row)(ids[: end + 1], [False] * (end + 1), "")
        with torch.no_grad(), acting(alone, "judge"):
            raw = float(row_scores(alone, head, pack([row])))
        assert score == pytest.approx((raw - scale.mean) / scale.deviation, abs=2e-2)
    assert max(found) - min(found) > 0.1


def test_an_answer_that_fills_a_context_of_learnt_positions_is_scored(tmp_path: Path) -> None:
    """The end of turn behind an answer that was cut off, and what it takes to write it again, have no place there."""
    base = gpt2.folder(tmp_path / "gpt2")
    judge = reward_run(base, tmp_path)
    config = ppo_config(base, write(tmp_path), reward=[str(judge)])
    start, chat = Start.of(config), ChatFormat(load_tokenizer(base))
    model = build_model(config, start, with_value=False)
    (weighted,) = build_rewards(config, start, model, chat, [])._parts.values()
    asked = [{"role": "user", "content": "why"}]
    room = 256 - len(chat.prompt(asked))  # type: ignore[arg-type]
    assert len(chat.render([*asked, {"role": "assistant", "content": "7" * room}])[-1].ids) > 256  # type: ignore[list-item]
    answers = [Answered(asked, "7" * length, (), length, False, "") for length in (room, 2 * room, 5)]  # type: ignore[arg-type]
    found = weighted.reward.score(answers)
    assert found[0] == pytest.approx(found[1], abs=1e-2) and all(math.isfinite(score) for score in found)


def test_nothing_of_what_learns_is_dropped_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither by the base nor by the adapters that policy and value function start as."""
    base = gpt2.folder(tmp_path / "gpt2", dropout=0.2)
    judge = reward_run(base, tmp_path)  # with dropout
    actors._say_dropout_is_left_out.cache_clear()
    config = ppo_config(base, write(tmp_path), reward=[str(judge)])
    model = build_model(config, Start.of(config), with_value=True).train()
    assert "own dropout of up to 0.2 is left out" in capsys.readouterr().err
    batch = pack(tiny_models.rows([9, 14, 5]))
    for role in (POLICY, VALUE, None):
        with acting(model, role), torch.no_grad():
            assert torch.equal(batch_log_probs(model, batch), batch_log_probs(model, batch)), role


def test_the_task_s_own_scorer_is_the_reward_where_nothing_else_is(base: Path, judge: Path, tmp_path: Path) -> None:
    chat = ChatFormat(load_tokenizer(base))
    for given, expected in (
        ([], {"exact": 1.0}),
        (["2*length:5"], {"length": 2.0}),
        ([str(judge)], {"model": 1.0}),
        ([f"0.5*{judge}", "finished"], {"model": 0.5, "finished": 1.0}),
    ):
        config = ppo_config(base, write(tmp_path), reward=given)
        start = Start.of(config)
        model = build_model(config, start, with_value=False)
        assert build_rewards(config, start, model, chat, ["exact"]).weights == expected


def test_what_is_no_reward_model_or_of_another_base_is_refused(base: Path, judge: Path, tmp_path: Path) -> None:
    other = tiny_folders.language_model(tmp_path / "other", seed=1)
    with pytest.raises(UsageError, match="the policy starts from another base"):
        Start.of(ppo_config(other, write(tmp_path), reward=[str(judge)]))
    with pytest.raises(UsageError, match="only one reward model"):
        Start.of(ppo_config(base, write(tmp_path), reward=[str(judge), f"0.5*{judge}"]))
    with pytest.raises(DataError, match="no reward model"):
        Start.of(ppo_config(base, write(tmp_path), reward=[str(other)]))
    with pytest.raises(DataError, match="this is a reward model"):
        config = ppo_config(judge, write(tmp_path))
        build_model(config, Start.of(config), with_value=True)


def test_a_damaged_reward_model_is_refused(base: Path, judge: Path, tmp_path: Path) -> None:
    shutil.copytree(judge / "adapter", tmp_path / "damaged")
    (tmp_path / "damaged" / "adapter_model.safetensors").write_bytes(b"not safetensors")
    config = ppo_config(base, write(tmp_path), reward=[str(tmp_path / "damaged")])
    with pytest.raises(DataError, match="safetensors"):
        build_model(config, Start.of(config), with_value=True)


def test_a_4_bit_base(base: Path, judge: Path, tmp_path: Path) -> None:
    """All roles see it, and no adapter that was trained on the plain base is put on it."""
    config = ppo_config(base, write(tmp_path), adapter="qlora")
    model = build_model(config, Start.of(config), with_value=True)
    assert is_quantized(model) and len(role_linears(model)) == 14
    mixed = ppo_config(base, write(tmp_path), adapter="qlora", reward=[str(judge)])
    with pytest.raises(UsageError, match="not packed in 4 bits"):
        build_model(mixed, Start.of(mixed), with_value=True)
    (tmp_path / "q").mkdir()
    packed_judge = reward_run(base, tmp_path / "q", adapter="qlora")
    for adapter in ("qlora", "lora"):
        config = ppo_config(base, write(tmp_path), adapter=adapter, reward=[str(packed_judge)])
        assert is_quantized(build_model(config, Start.of(config), with_value=True))


def test_dora_roles(base: Path, tmp_path: Path) -> None:
    config = ppo_config(base, write(tmp_path), dora=True)
    trained = trainable_parameters(build_model(config, Start.of(config), with_value=True))
    assert sum("magnitude" in name for name in trained) == 2 * 14
