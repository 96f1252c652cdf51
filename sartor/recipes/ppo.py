"""PPO: a policy, its reference, a reward and a value function on one frozen base."""

from typing import TYPE_CHECKING

from pydantic import Field

from sartor.base.distributed import process_group
from sartor.base.sinks import SinkName
from sartor.recipes.rl_settings import PpoSettings

if TYPE_CHECKING:
    from sartor.recipes.rl import Method, RolloutResult


class PpoConfig(PpoSettings):
    """Settings of `sartor ppo`."""

    out: str = Field(description="run folder to write; the same command again resumes it")
    sinks: list[SinkName] = Field([], description="also hand the metrics to: tensorboard, mlflow, wandb, trackio")


def method(config: PpoSettings) -> "Method":
    """The settings as what the common course of reinforcement learning is given."""
    from sartor.recipes.rl import Method
    from sartor.train.estimates import ValueEstimate, ValueSettings
    from sartor.train.rl_loss import RolloutLoss

    values = ValueSettings(
        config.kl_coefficient,
        config.kl_target,
        config.kl_horizon,
        config.discount,
        config.gae_decay,
        config.normalise_reward,
        config.whiten_advantages,
    )
    return Method(
        "PPO",
        with_value=True,
        normalise="tokens",
        estimate=lambda: ValueEstimate(values),
        loss=lambda actors: RolloutLoss(
            actors,
            config.clip,
            config.clip_high or config.clip,
            entropy_coefficient=config.entropy_coefficient,
            value_coefficient=config.value_coefficient,
            value_clip=config.value_clip,
        ),
    )


@process_group()
def run(config: PpoConfig) -> "RolloutResult":
    """Learn as configured. A finished run is returned as it is, an interrupted one goes on."""
    from sartor.recipes.rl import run_method

    return run_method(config, method(config), config.out, config.sinks)
