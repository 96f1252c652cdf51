"""The model of reinforcement learning: one frozen base with an adapter for each role, and what is rewarded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import PreTrainedModel

from sartor.adapters.lora import LoraSettings
from sartor.adapters.quantized import quantize_base
from sartor.adapters.reward_store import (
    RewardScale,
    is_reward_model,
    load_reward_tensors,
    prepare_base,
    read_reward_settings,
)
from sartor.adapters.roles import acting, add_role, role_layers
from sartor.adapters.store import WEIGHTS_FILE, load_adapter_tensors, read_settings, trained_on_quantized
from sartor.base.device import compute_dtype, device
from sartor.base.errors import DataError, UsageError
from sartor.base.seeds import seed_everything
from sartor.base.tensor_file import read_tensors
from sartor.data.batches import of_similar_length
from sartor.data.chat import ChatFormat, Rendered
from sartor.data.packing import pack
from sartor.data.pairs import up_to_end_of_turn
from sartor.generation.local import context_tokens
from sartor.models.forward import load_packed, recompute_activations
from sartor.models.hub import ModelLocation, locate, resolve
from sartor.models.scalar_head import ScalarHead
from sartor.recipes.rl_settings import RolloutSettings
from sartor.recipes.training import lora_settings
from sartor.train.actors import POLICY, REFERENCE, REWARD, VALUE, Actors, leave_out_dropout
from sartor.train.rewards.protocol import Answered
from sartor.train.rewards.specs import is_run, rewards, split_weight
from sartor.train.rewards.weighted import SumOfRewards, Weighted
from sartor.train.row_scores import row_scores

REWARD_HEAD, VALUE_HEAD = "reward_head", "value_head"


@dataclass(frozen=True)
class RewardRun:
    """A trained reward model: the folder of its adapter, its weight in the sum, and what it was made with."""

    folder: Path
    weight: float
    settings: LoraSettings
    scale: RewardScale


def find_reward_run(specs: Sequence[str], base: Path) -> tuple[RewardRun | None, list[str]]:
    """The reward model among the rewards, if there is one, and the rest. UsageError for more than one, or for one that
    scores by another base: all roles share one."""
    runs = [spec for spec in specs if is_run(spec)]
    if len(runs) > 1:
        raise UsageError("only one reward model can be used at a time", where=", ".join(runs), hint="leave one away")
    rest = [spec for spec in specs if not is_run(spec)]
    if not runs:
        return None, rest
    weight, name = split_weight(runs[0])
    folder = Path(name) / "adapter" if (Path(name) / "adapter").is_dir() else Path(name)
    if not (folder / WEIGHTS_FILE).is_file() or not is_reward_model(folder):
        raise DataError("this is no reward model", where=str(folder), hint="make one with `sartor reward`")
    settings, scale, own_base = read_reward_settings(folder)
    if resolve(own_base).resolve() != base.resolve():
        raise UsageError(
            f"the reward model scores by {own_base}, and the policy starts from another base",
            where=f"--reward {name}",
            hint=f"start from it with --base {own_base}, or train a reward model on this base",
        )
    return RewardRun(folder, weight, settings, scale), rest


@dataclass(frozen=True)
class Start:
    """Where reinforcement learning starts: the base, the adapter to go on from, the reward model and other rewards."""

    location: ModelLocation
    reward_run: RewardRun | None
    reward_specs: list[str]

    @staticmethod
    def of(config: RolloutSettings) -> "Start":
        location = locate(config.base)
        return Start(location, *find_reward_run(config.reward, location.folder))

    def policy_settings(self, config: RolloutSettings) -> LoraSettings:
        settings = lora_settings(config, self.location.adapter)
        assert settings is not None, "the policy is an adapter"
        return settings


def build_model(config: RolloutSettings, start: Start, with_value: bool) -> PreTrainedModel:
    """The base with the adapters of all roles; policy and value function are trainable.

    The value function starts as the reward model where there is one, since both foresee the same (2403.17031), else at
    zero everywhere. Neither drops anything out, whatever the adapters they start as were trained with, and neither does
    the base: what they said when the answers were sampled, without dropout, is what their updates begin at.
    """
    model = load_packed(start.location.folder, compute_dtype(device()))
    leave_out_dropout(model)
    folders = [start.location.adapter, None if start.reward_run is None else start.reward_run.folder]
    _quantize(model, [folder for folder in folders if folder is not None], config.adapter == "qlora")
    seed_everything(config.seed)
    policy = replace(start.policy_settings(config), dropout=0.0)
    add_role(model, POLICY, policy)
    if start.location.adapter is not None:
        tensors = read_tensors(start.location.adapter / WEIGHTS_FILE)
        load_adapter_tensors(role_layers(model, POLICY), tensors, str(start.location.adapter))
        load_adapter_tensors(add_role(model, REFERENCE, read_settings(start.location.adapter)[0]), tensors)
    if start.reward_run is not None:
        add_reward(model, REWARD, REWARD_HEAD, start.reward_run)
    if with_value:
        if start.reward_run is not None:
            undropped = replace(start.reward_run.settings, dropout=0.0)
            add_reward(model, VALUE, VALUE_HEAD, replace(start.reward_run, settings=undropped))
            _scale_head(model.get_submodule(VALUE_HEAD), start.reward_run)
        else:
            add_role(model, VALUE, policy)
            model.add_module(VALUE_HEAD, _zero_head(model))
    for name, parameter in model.named_parameters():
        trained = (f".{POLICY}.", f".{VALUE}.")
        parameter.requires_grad_(name.startswith(VALUE_HEAD) or (".roles." in name and any(t in name for t in trained)))
    if config.activation_checkpointing:
        recompute_activations(model)
    return model.to(device())


def _quantize(model: PreTrainedModel, folders: Sequence[Path], asked: bool) -> None:
    """Pack the base in 4 bits where that is asked for, or where the adapters in `folders` were trained on such a base:
    all on one form of it, or they do not belong together."""
    forms = {trained_on_quantized(folder) for folder in folders}
    if len(forms) > 1:
        raise UsageError(
            "the policy's adapter and the reward model were trained on different forms of the base",
            where="--base, --reward",
            hint="train both on the 4-bit base, or both on the plain one",
        )
    if asked and False in forms:
        raise UsageError(
            "the base is not packed in 4 bits for an adapter or reward model that was trained on the plain one",
            where="--adapter qlora",
            hint="leave --adapter away, or train the other one with --adapter qlora, too",
        )
    if asked:
        quantize_base(model)
    elif folders:
        prepare_base(model, folders[0])


def add_reward(model: PreTrainedModel, role: str, head_name: str, run: RewardRun) -> None:
    """Give the model the reward model's adapter and head, as a role."""
    head = ScalarHead(model.config.hidden_size)
    load_reward_tensors(add_role(model, role, run.settings), head, run.folder)
    model.add_module(head_name, head)


def _scale_head(head: torch.nn.Module, run: RewardRun) -> None:
    """The value function foresees the reward as it is used: scaled and weighted. What is constant it has to learn."""
    assert isinstance(head, ScalarHead)
    head.weight.data.mul_(run.weight / run.scale.deviation)


def _zero_head(model: PreTrainedModel) -> ScalarHead:
    head = ScalarHead(model.config.hidden_size)
    torch.nn.init.zeros_(head.weight)
    return head


class ModelReward:
    """A trained reward model's score of each answer, normalised as it says; read at the end of turn, which is put
    behind answers that were cut off. Of an answer that leaves no room for it in the model's context, or that takes more
    tokens as text than it was sampled in, the last tokens are left out."""

    name = "model"

    def __init__(self, model: PreTrainedModel, chat: ChatFormat, scale: RewardScale, micro_batch_tokens: int):
        self.model, self.chat, self.scale, self.micro_batch_tokens = model, chat, scale, micro_batch_tokens
        self.longest = context_tokens(model)

    @torch.inference_mode()
    def score(self, answered: Sequence[Answered]) -> list[float]:
        rows = []
        for each in answered:
            spoken = [*each.messages, {"role": "assistant", "content": each.text}]
            ids = up_to_end_of_turn(self.chat.render(spoken, each.where)[-1]).ids  # type: ignore[arg-type]
            if len(ids) > self.longest:
                ids = [*ids[: self.longest - 1], ids[-1]]
            rows.append(Rendered(ids, [False] * len(ids), each.where))
        order = sorted(range(len(rows)), key=lambda index: rows[index].num_tokens)  # as of_similar_length orders them
        found: list[float] = []
        place, head = next(self.model.parameters()).device, self.model.get_submodule(REWARD_HEAD)
        training = self.model.training
        self.model.eval()  # a reward model's dropout is for its own training
        try:
            with acting(self.model, REWARD):
                for group in of_similar_length(rows, self.micro_batch_tokens):
                    found += row_scores(self.model, head, pack(group).to(place)).tolist()
        finally:
            self.model.train(training)
        scores = [0.0] * len(rows)
        for index, raw in zip(order, found, strict=True):
            scores[index] = (raw - self.scale.mean) / self.scale.deviation
        return scores


def build_rewards(
    config: RolloutSettings, start: Start, model: PreTrainedModel, chat: ChatFormat, usual: Sequence[str]
) -> SumOfRewards:
    """The sum of all that is rewarded; `usual` (a task's own scorer) where nothing is given."""
    others = []
    if start.reward_run is not None:
        reward = ModelReward(model, chat, start.reward_run.scale, config.micro_batch_tokens)
        others.append(Weighted(reward, start.reward_run.weight))
    specs = start.reward_specs or ([] if others else list(usual))
    return rewards(specs, others)


def build_actors(config: RolloutSettings, start: Start, model: PreTrainedModel, chat: ChatFormat) -> Actors:
    named = dict(model.named_modules())
    reference = REFERENCE if start.location.adapter is not None else None
    return Actors(model, chat, config.temperature, named.get(VALUE_HEAD), reference)
