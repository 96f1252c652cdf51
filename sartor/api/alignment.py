"""`sartor reward`, `dpo`, `ppo` and `grpo` as functions."""

from typing import TYPE_CHECKING, Unpack

from sartor.api.configured import Place, configured
from sartor.api.settings import DpoSettings, GrpoSettings, PpoSettings, RewardSettings
from sartor.recipes import dpo as dpo_recipe
from sartor.recipes import grpo as grpo_recipe
from sartor.recipes import ppo as ppo_recipe
from sartor.recipes import reward as reward_recipe
from sartor.recipes.stage import TrainingResult

if TYPE_CHECKING:
    from sartor.recipes.rl import RolloutResult


def reward(data: Place, *, out: Place, **settings: Unpack[RewardSettings]) -> TrainingResult:
    """Train a model that scores answers, from preference pairs."""
    values = {"data": data, "out": out, **settings}
    return reward_recipe.run(configured("reward", reward_recipe.RewardConfig, values))


def dpo(data: Place, *, out: Place, **settings: Unpack[DpoSettings]) -> TrainingResult:
    """Train a model to answer as is preferred, from preference pairs."""
    return dpo_recipe.run(configured("dpo", dpo_recipe.DpoConfig, {"data": data, "out": out, **settings}))


def ppo(data: Place, *, out: Place, **settings: Unpack[PpoSettings]) -> "RolloutResult":
    """Reinforcement learning with a value function, for any reward."""
    return ppo_recipe.run(configured("ppo", ppo_recipe.PpoConfig, {"data": data, "out": out, **settings}))


def grpo(data: Place, *, out: Place, **settings: Unpack[GrpoSettings]) -> "RolloutResult":
    """Reinforcement learning on answers that can be checked."""
    return grpo_recipe.run(configured("grpo", grpo_recipe.GrpoConfig, {"data": data, "out": out, **settings}))
