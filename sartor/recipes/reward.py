"""A reward model: preference pairs in, an adapter with a scoring head out, and how far its scores can be trusted."""

from typing import TYPE_CHECKING

from pydantic import Field

from sartor.base.distributed import process_group
from sartor.base.sinks import SinkName
from sartor.recipes.preference_settings import RewardSettings

if TYPE_CHECKING:
    from sartor.recipes.stage import TrainingResult


class RewardConfig(RewardSettings):
    """Settings of `sartor reward`."""

    out: str = Field(description="run folder to write; the same command again resumes it")
    sinks: list[SinkName] = Field([], description="also hand the metrics to: tensorboard, mlflow, wandb, trackio")


@process_group()
def run(config: RewardConfig) -> "TrainingResult":
    """Train as configured. A finished run is returned as it is, an interrupted one goes on."""
    from sartor.recipes.reward_stage import RewardStage
    from sartor.recipes.stage import run_stage

    return run_stage(RewardStage, config, config.out, config.sinks)
