"""How good each token of sampled answers was: against a value function (PPO) or against the other answers (GRPO)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from sartor.train.advantages import (
    RunningScale,
    explained_variance,
    generalized_advantages,
    group_advantages,
    next_kl_coefficient,
    token_rewards,
    whiten,
)


@dataclass(frozen=True)
class Sampled:
    """Answers as sampled: scores [R] by answer, prompt by prompt; log_ratios [N], log p - log p_ref of each token;
    `lengths` of the answers; values [N] where there is a value function."""

    scores: Tensor
    log_ratios: Tensor
    lengths: Sequence[int]
    values: Tensor | None


@dataclass(frozen=True)
class Estimated:
    """advantages, rewards [N]; returns [N] where there is a value function; `metrics` to be told."""

    advantages: Tensor
    rewards: Tensor
    returns: Tensor | None
    metrics: dict[str, float]


class Estimate(Protocol):
    def __call__(self, sampled: Sampled) -> Estimated: ...

    def state(self) -> dict[str, Tensor]:
        """What changes from batch to batch, to be saved."""
        ...

    def load_state(self, tensors: Mapping[str, Tensor]) -> None: ...


class GroupEstimate:
    """Every token of an answer counts as much as the answer did better than the others to its prompt."""

    def __init__(
        self, answers: int, baseline: Literal["mean", "leave_one_out"], scale: Literal["group", "batch", "none"]
    ):
        self.answers, self.baseline, self.scale = answers, baseline, scale

    def __call__(self, sampled: Sampled) -> Estimated:
        lengths = torch.tensor(list(sampled.lengths))
        advantages = group_advantages(sampled.scores, self.answers, self.baseline, self.scale)
        rewards = token_rewards(sampled.scores, sampled.log_ratios, sampled.lengths, 0.0)
        return Estimated(advantages.float().repeat_interleave(lengths), rewards, None, {})

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        return


@dataclass(frozen=True)
class ValueSettings:
    """PPO's estimates. `kl_target` (nats an answer) lets the penalty adapt over `kl_horizon` answers; None fixes it."""

    kl_coefficient: float
    kl_target: float | None
    kl_horizon: float
    discount: float
    decay: float
    normalise_reward: bool
    whiten_advantages: bool


class ValueEstimate:
    """Generalised advantages under the value function; the reward holds the penalty for leaving the reference."""

    def __init__(self, settings: ValueSettings):
        self.settings, self.kl_coefficient, self.scale = settings, settings.kl_coefficient, RunningScale()

    def __call__(self, sampled: Sampled) -> Estimated:
        assert sampled.values is not None, "PPO has a value function"
        scores = sampled.scores
        if self.settings.normalise_reward:
            self.scale.update(scores)
            scores = self.scale.normalise(scores)
        rewards = token_rewards(scores, sampled.log_ratios, sampled.lengths, self.kl_coefficient)
        advantages, returns = generalized_advantages(
            rewards, sampled.values, sampled.lengths, self.settings.discount, self.settings.decay
        )
        told = {
            "kl_coefficient": self.kl_coefficient,
            "explained_variance": explained_variance(sampled.values, returns),
        }
        if self.settings.kl_target is not None:
            kl = float(sampled.log_ratios.sum()) / len(sampled.lengths)
            self.kl_coefficient = next_kl_coefficient(
                self.kl_coefficient, kl, self.settings.kl_target, self.settings.kl_horizon, len(sampled.lengths)
            )
        return Estimated(
            whiten(advantages) if self.settings.whiten_advantages else advantages, rewards, returns, told
        )

    def state(self) -> dict[str, Tensor]:
        return {"kl_coefficient": torch.tensor(self.kl_coefficient, dtype=torch.float64), **self.scale.state()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        self.kl_coefficient = float(tensors["kl_coefficient"])
        self.scale.load_state({name: tensors[name] for name in ("count", "mean", "squares")})
