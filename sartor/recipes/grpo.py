"""GRPO and its kin: answers to one prompt are compared with one another, so no value function is needed."""

from typing import TYPE_CHECKING

from pydantic import Field

from sartor.base.distributed import process_group
from sartor.base.sinks import SinkName
from sartor.recipes.rl_settings import GrpoSettings

if TYPE_CHECKING:
    from sartor.recipes.rl import Method, RolloutResult


class GrpoConfig(GrpoSettings):
    """Settings of `sartor grpo`."""

    out: str = Field(description="run folder to write; the same command again resumes it")
    sinks: list[SinkName] = Field([], description="also hand the metrics to: tensorboard, mlflow, wandb, trackio")


def method(config: GrpoSettings) -> "Method":
    """The settings as what the common course of reinforcement learning is given."""
    from sartor.recipes.rl import Method
    from sartor.train.estimates import GroupEstimate
    from sartor.train.rl_loss import RolloutLoss

    return Method(
        "GRPO",
        with_value=False,
        normalise=config.normalise,
        estimate=lambda: GroupEstimate(config.answers, config.baseline, config.scale),
        loss=lambda actors: RolloutLoss(
            actors,
            config.clip,
            config.clip_high or config.clip,
            penalty_coefficient=config.kl_coefficient,
        ),
    )


@process_group()
def run(config: GrpoConfig) -> "RolloutResult":
    """Learn as configured. A finished run is returned as it is, an interrupted one goes on."""
    from sartor.recipes.rl import run_method

    return run_method(config, method(config), config.out, config.sinks)
