"""From scores of sampled answers to what each token, or each answer, was better than expected.

Tokens of several answers lie one after the other, [N] with N = Σ lengths, as in a packed batch. Nothing here is
differentiated through.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

SMALLEST_VARIANCE = 1e-8  # as in lm-human-preferences: keeps a constant from being divided by zero
SMALLEST_DEVIATION = 1e-4  # as in TRL's group advantages
LARGEST_ERROR = 0.2  # Ziegler et al., 1909.08593, section 2.2


def token_rewards(scores: Tensor, log_ratios: Tensor, lengths: Sequence[int], kl_coefficient: float) -> Tensor:
    """Each token's reward [N]: -kl_coefficient · (log p - log p_ref), and on an answer's last token its score too
    (1909.08593 equation 2, spread over the tokens).

    scores [R], log_ratios [N]. ValueError for an answer without tokens: its score would have no place.
    """
    if min(lengths, default=1) < 1:
        raise ValueError("an answer without tokens has no place for its score")
    last = torch.tensor(list(lengths), device=log_ratios.device).cumsum(0) - 1
    rewards = -kl_coefficient * log_ratios.detach()
    rewards[last] += scores.detach().to(rewards)
    return rewards


def generalized_advantages(
    rewards: Tensor, values: Tensor, lengths: Sequence[int], discount: float = 1.0, decay: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates (1506.02438 equation 16; `decay` is its λ) of packed answers, and returns.

    rewards, values [N] -> (advantages [N], advantages + values [N]). An answer ends with its last token: what comes
    after is worth nothing.
    """
    counts = torch.tensor(list(lengths), device=rewards.device)
    longest = int(counts.max()) if len(counts) else 0
    present = torch.arange(longest, device=rewards.device) < counts[:, None]  # [R, longest]
    padded_rewards, padded_values = (_padded(packed.detach(), present) for packed in (rewards, values))
    advantages = torch.zeros_like(padded_values)
    ahead = next_value = values.new_zeros(len(counts))
    for place in reversed(range(longest)):
        surprise = padded_rewards[:, place] + discount * next_value - padded_values[:, place]
        ahead = surprise + discount * decay * ahead
        advantages[:, place] = ahead
        next_value = padded_values[:, place]
    packed_advantages = advantages[present]
    return packed_advantages, packed_advantages + values.detach()


def _padded(packed: Tensor, present: Tensor) -> Tensor:
    """[N] -> [R, longest], zero after an answer's end, which leaves the recursion there at zero."""
    padded = packed.new_zeros(present.shape)
    padded[present] = packed
    return padded


def group_advantages(
    rewards: Tensor,
    group_size: int,
    baseline: Literal["mean", "leave_one_out"],
    scale: Literal["group", "batch", "none"],
) -> Tensor:
    """How much better each answer did than the answers to the same prompt, rewards [G · group_size] group by group.

    baseline: the mean of the group (GRPO, 2402.03300), or of its other answers (RLOO, 2402.14740), which is unbiased.
    scale: divided by the deviation of the group's rewards (GRPO) or of all (2508.08221), or not (Dr. GRPO,
    2503.20783). Deviations are over n - 1 and have 1e-4 added, as in TRL; a group of equal rewards gets exactly 0.
    ValueError for groups of fewer than two, which have nothing to be compared with.
    """
    if group_size < 2:
        raise ValueError(f"an answer is compared with others of its group: groups of {group_size} have none")
    groups = rewards.detach().double().view(-1, group_size)
    advantages = groups - groups.mean(1, keepdim=True)
    # The mean of equal numbers is not always that number, and a deviation of rounding would make it an advantage.
    advantages[groups.amax(1) == groups.amin(1)] = 0.0
    if baseline == "leave_one_out":
        advantages = advantages * (group_size / (group_size - 1))
    if scale == "group":
        advantages = advantages / (groups.std(1, keepdim=True) + SMALLEST_DEVIATION)
    elif scale == "batch":
        advantages = advantages / (groups.std() + SMALLEST_DEVIATION)
    return advantages.reshape(-1).to(rewards.dtype)


def whiten(values: Tensor) -> Tensor:
    """Shifted and scaled to mean 0 and variance 1 (over n, as in lm-human-preferences); a constant becomes zeros."""
    exact = values.double()  # in float32 the mean of equal numbers may be off by more than the smallest deviation
    variance, mean = torch.var_mean(exact, correction=0)
    return ((exact - mean) * torch.rsqrt(variance + SMALLEST_VARIANCE)).to(values.dtype)


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns): 1 is perfect, 0 no better than a constant; NaN for equal returns."""
    spread = float(returns.var(correction=0))
    return 1 - float((returns - values).var(correction=0)) / spread if spread > 0 else float("nan")


def next_kl_coefficient(coefficient: float, kl: float, target: float, horizon: float, num_answers: int) -> float:
    """The coefficient after a step of `num_answers` answers that measured `kl`, pulled towards the one at which the
    divergence is `target` (1909.08593, section 2.2): proportional to the relative error, clipped at ±20 %, so that it
    moves by at most a fifth in `horizon` answers, compounding aside. Unlike there it also moves by at most a fifth in a
    step: with a horizon of less than a fifth of the step's answers the coefficient would become negative, and stay so.
    """
    error = min(max(kl / target - 1, -LARGEST_ERROR), LARGEST_ERROR)
    return coefficient * (1 + error * min(num_answers / horizon, 1.0))


class RunningScale:
    """Mean and variance of all numbers seen so far, added batch by batch without keeping them (Chan et al., 1979)."""

    def __init__(self) -> None:
        self.count = self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def update(self, values: Tensor) -> None:
        """Takes in numbers of any shape."""
        if values.numel() == 0:
            return
        new = values.detach().double().cpu()
        difference = new.mean() - self.mean
        total = self.count + new.numel()
        self.squares = (
            self.squares + (new - new.mean()).square().sum() + difference.square() * self.count * new.numel() / total
        )
        self.mean = self.mean + difference * new.numel() / total
        self.count = total

    @property
    def variance(self) -> float:
        """Over n. ValueError before the first number."""
        if self.count == 0:
            raise ValueError("the variance of no numbers")
        return float(self.squares / self.count)

    def normalise(self, values: Tensor) -> Tensor:
        """(values - mean) / deviation, in the type of `values`. ValueError before the first number."""
        scale = (self.variance + SMALLEST_VARIANCE) ** -0.5
        return (values - float(self.mean)) * scale

    def state(self) -> dict[str, Tensor]:
        """float64 tensors, to be saved with a checkpoint."""
        return {"count": self.count.clone(), "mean": self.mean.clone(), "squares": self.squares.clone()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.count, self.mean, self.squares = (state[name].double() for name in ("count", "mean", "squares"))
