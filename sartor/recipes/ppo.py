"""PPO: a policy, its reference, a reward and a value function on one frozen base."""

from typing import TYPE_CHECKING

from pydantic import Field

from sartor.base.distributed import process_group
from sartor.base.sinks import SinkName
from sartor.recipes.rl_settings import PpoSettings

if TYPE_CHECKING:
    from sartor.recipes.rl import RolloutResult


class PpoConfig(PpoSettings):
    """Settings of `sartor ppo`."""

    out: str = Field(description="run folder to write; the same command again resumes it")
    sinks: list[SinkName] = Field([], description="also hand the metrics to: tensorboard, mlflow, wandb, trackio")


@process_group()
def run(config: PpoConfig) -> "RolloutResult":
    """Learn as configured. A finished run is returned as it is, an interrupted one goes on."""
    from sartor.recipes.rl import run_method
    from sartor.recipes.rl_methods import ppo_method

    return run_method(config, ppo_method(config), config.out, config.sinks)
