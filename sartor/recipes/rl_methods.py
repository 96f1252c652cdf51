"""PPO and GRPO as the common course of reinforcement learning is given them: an estimate and a loss."""

from sartor.recipes.rl import Method
from sartor.recipes.rl_settings import GrpoSettings, PpoSettings
from sartor.train.estimates import GroupEstimate, ValueEstimate, ValueSettings
from sartor.train.rl_loss import RolloutLoss


def ppo_method(config: PpoSettings) -> Method:
    """The settings of `sartor ppo` as the common course is given them."""
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
        holds_reference=True,
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


def grpo_method(config: GrpoSettings) -> Method:
    """The settings of `sartor grpo` as the common course is given them."""
    return Method(
        "GRPO",
        with_value=False,
        holds_reference=config.kl_coefficient > 0,
        normalise=config.normalise,
        estimate=lambda: GroupEstimate(config.answers, config.baseline, config.scale),
        loss=lambda actors: RolloutLoss(
            actors,
            config.clip,
            config.clip_high or config.clip,
            penalty_coefficient=config.kl_coefficient,
        ),
    )
