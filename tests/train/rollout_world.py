"""A tiny policy with its reference, a value function and prompts: what the tests of reinforcement learning share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from sartor.adapters.lora import LoraSettings
from sartor.adapters.roles import add_role, role_layers
from sartor.data.chat import ChatFormat
from sartor.data.prompts import Prompt
from sartor.models.forward import use_packed_attention
from sartor.models.scalar_head import ScalarHead
from sartor.train.actors import POLICY, VALUE, Actors
from sartor.train.episodes import Episode, answer_row
from sartor.train.estimates import Estimate, GroupEstimate, ValueEstimate, ValueSettings
from sartor.train.rewards.specs import rewards
from sartor.train.rollouts import AskedPrompt, RolloutSizes, RolloutSource
from sartor.train.traces import TraceLog
from tests import tiny_models

SIZES = RolloutSizes(
    prompts=4, answers=3, passes=2, minibatches=2, micro_batch_tokens=60, max_new_tokens=8, temperature=0.9,
    unfinished_penalty=0.5, normalise="tokens", holds_reference=True, traced_answers=2, seed=3,
)  # fmt: skip
PENALTY = ValueSettings(
    kl_coefficient=0.1, kl_target=1.0, kl_horizon=50.0, discount=1.0, decay=0.9, normalise_reward=True,
    whiten_advantages=True,
)  # fmt: skip


def model(
    dropout: float = 0.0,
    dtype: torch.dtype = torch.float32,
    roles: Sequence[str] = (POLICY, VALUE),
    spread: float = 0.1,
) -> PreTrainedModel:
    """A model with roles whose branches say something (`spread` 0: nothing, as at the start), in training mode."""
    made = use_packed_attention(tiny_models.model().to(dtype))
    torch.manual_seed(1)
    for role in roles:
        for layer in add_role(made, role, LoraSettings(rank=3, dropout=dropout)).values():
            nn.init.normal_(layer.lora_B, std=spread)
    made.add_module("value_head", ScalarHead(made.config.hidden_size))
    return made.train()


def actors(made: PreTrainedModel, with_value: bool = True, temperature: float = 0.9, **more: Any) -> Actors:
    head = made.get_submodule("value_head") if with_value else None
    return Actors(made, ChatFormat(tiny_models.tokenizer()), temperature, head, **more)


def asked(count: int = 6) -> list[AskedPrompt]:
    chat = ChatFormat(tiny_models.tokenizer())
    made = []
    for number in range(count):
        prompt = Prompt(
            [{"role": "user", "content": "the cat " * (number % 3 + 1) + str(number)}], (), f"rows:{number}"
        )
        made.append(AskedPrompt(prompt, chat.prompt(prompt.messages)))
    return made


def source(
    of: Actors, traces: TraceLog | None = None, prompts: int = 6, estimate: Estimate | None = None, **changed: Any
) -> RolloutSource:
    """Answers rewarded for their length; a value function decides which estimate there is."""
    settings = replace(SIZES, **changed)
    if estimate is None:
        with_value = of.value_head is not None
        estimate = ValueEstimate(PENALTY) if with_value else GroupEstimate(settings.answers, "mean", "group")
    return RolloutSource(of, asked(prompts), rewards(["length:5", "0.1*finished"]), estimate, settings, traces)


def changed_weights(made: PreTrainedModel, seed: int = 0) -> None:
    """As an optimizer step would."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for role in (POLICY, VALUE):
            for layer in role_layers(made, role).values():
                layer.lora_B += 0.02 * torch.randn(layer.lora_B.shape, generator=draw)


@dataclass(frozen=True)
class Shape:
    """An answer to be made up: which prompt it is for, and how long both are."""

    prompt: int
    prompt_tokens: int
    answer_tokens: int


def episode(shape: Shape, number: int, where: str = "", with_value: bool = True, finished: bool = True) -> Episode:
    """Answers to one prompt have the same prompt tokens."""
    ids = tiny_models.rows([shape.prompt_tokens], seed=shape.prompt)[0].ids
    own = tiny_models.rows([shape.answer_tokens], seed=1000 + number)[0].ids
    draw = torch.Generator().manual_seed(number)
    columns = [torch.randn(shape.answer_tokens, generator=draw) for _ in range(5)]
    return Episode(
        answer_row([*ids, *own], shape.answer_tokens, where), shape.prompt, number / 7, finished, *columns[:3],
        *(columns[3:] if with_value else (None, None)),
    )  # fmt: skip
