"""The clipped policy-gradient surrogate: PPO, GRPO, Dr. GRPO and RLOO are this loss with different parameters.

| method          | advantages of a token                       | token_weights | reference penalty  |
|-----------------|---------------------------------------------|---------------|--------------------|
| PPO             | generalised estimates with a value model    | tokens        | in the rewards     |
| GRPO            | score against the group's, over its spread  | answers       | in the loss        |
| DAPO            | as GRPO                                     | tokens        | none               |
| Dr. GRPO        | score against the group's                   | constant      | none               |
| RLOO            | score against the others' of the group      | constant = 1  | in the rewards     |

RLOO takes one ratio an answer where we take one a token. At ratio 1, which is where each step begins and where it ends
if an answer is learnt from once, the gradients are the same. Only `sartor ppo` has its penalty in the rewards:
`sartor grpo` has that of its kin, RLOO too, in the loss, where a coefficient of 0 leaves it out.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Normalise = Literal["tokens", "answers", "constant"]


def token_weights(
    lengths: Sequence[int],
    normalise: Normalise,
    num_tokens: int,
    num_answers: int,
    constant: float | None = None,
) -> Tensor:
    """What each token of a micro-batch's answers counts in the step's loss: float32 [Σ lengths], answer by answer.

    tokens: 1 / num_tokens (PPO; DAPO, 2503.14476). answers: 1 / (num_answers · length), so that each answer counts
    alike (GRPO, 2402.03300). constant: 1 / (num_answers · constant), so that a token counts alike in every step
    (Dr. GRPO, 2503.20783, with the longest allowed answer).

    `num_tokens` and `num_answers` are of the whole accumulated step. Over the step, weights of the first two sum to 1.
    ValueError if the constant is needed and missing, or not positive.
    """
    counts = torch.tensor(list(lengths), dtype=torch.long)
    if normalise == "tokens":
        return torch.full((int(counts.sum()),), 1.0 / num_tokens)
    if normalise == "answers":
        return (1.0 / (num_answers * counts.float())).repeat_interleave(counts)
    if constant is None or not constant > 0:
        raise ValueError(f"weights over a constant need a positive constant, not {constant}")
    return torch.full((int(counts.sum()),), 1.0 / (num_answers * constant))


def clipped_surrogate(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    weights: Tensor,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    num_tokens: int | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """-Σ weight · min(ratio · advantage, clip(ratio, 1 - clip_low, 1 + clip_high) · advantage), with
    ratio = p / p_old (PPO, 1707.06347 equation 7; two bounds as DAPO, 2503.14476).

    All [N], a token each; gradients flow to log_probs only. -> (this micro-batch's share of the loss, metrics to be
    summed over the step): policy_loss; clip_share, of the tokens from which the clip takes the gradient; ratio. The
    last two are weighted like the loss, or if `num_tokens` of the whole step is given, plain means over tokens, which
    weights that do not sum to 1 over the step need.
    """
    ratio = (log_probs - old_log_probs.detach()).exp()
    advantages = advantages.detach()
    plain = ratio * advantages
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    loss = -(weights * torch.minimum(plain, clipped)).sum()
    shares = weights if num_tokens is None else torch.full_like(weights, 1.0 / num_tokens)
    return loss, {
        "policy_loss": float(loss.detach()),
        "clip_share": float((shares * (clipped < plain)).sum()),
        "ratio": float((shares * ratio.detach()).sum()),
    }


def reference_penalty(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """p_ref / p - log(p_ref / p) - 1 of each sampled token [N]: never negative, and over samples of p its mean is
    KL(p ‖ p_ref) (GRPO, 2402.03300 equation 4). Differentiable to log_probs."""
    difference = reference_log_probs.detach() - log_probs
    return torch.expm1(difference) - difference


def policy_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    weights: Tensor,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    num_tokens: int | None = None,
    reference_log_probs: Tensor | None = None,
    penalty_coefficient: float = 0.0,
    unbiased_penalty: bool = False,
) -> tuple[Tensor, dict[str, float]]:
    """`clipped_surrogate` + penalty_coefficient · Σ weight · `reference_penalty`.

    The reference's log-probabilities [N] are read only if the coefficient is not 0; ValueError if they are missing
    then. On average over samples, the gradient of GRPO's penalty is not that of KL(p ‖ p_ref), whose value it has, but
    that of KL(p_ref ‖ p). `unbiased_penalty` multiplies it by the ratio p / p_old, which makes it the gradient of
    KL(p ‖ p_ref) (DeepSeek-V3.2, 2512.02556); TRL 1.16 does so unless told otherwise.

    -> (this micro-batch's share of the loss, metrics to be summed over the step): the surrogate's and `loss`.
    """
    loss, metrics = clipped_surrogate(log_probs, old_log_probs, advantages, weights, clip_low, clip_high, num_tokens)
    if penalty_coefficient != 0.0:
        if reference_log_probs is None:
            raise ValueError("a penalty against the reference needs the reference model's log-probabilities")
        penalty = reference_penalty(log_probs, reference_log_probs)
        if unbiased_penalty:
            penalty = penalty * (log_probs - old_log_probs.detach()).exp()
        loss = loss + penalty_coefficient * (weights * penalty).sum()
    return loss, {"loss": float(loss.detach()), **metrics}
