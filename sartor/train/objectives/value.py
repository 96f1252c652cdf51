"""Clipped squared error of a value model, the other half of PPO."""

import torch
from torch import Tensor


def clipped_value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, weights: Tensor, clip: float = 0.2
) -> tuple[Tensor, dict[str, float]]:
    """½ Σ weight · max((value - return)², (clipped - return)²), where clipped is the value, moved by no more than
    `clip` from what it was when the answers were sampled (as in OpenAI's PPO and lm-human-preferences;
    2403.17031 describes it).

    All [N], a token each; weights sum to 1 over the whole accumulated step; gradients flow to `values` only.
    -> (this micro-batch's share of the loss, metrics to be summed over the step). value_clip_share is of the tokens
    from which the clip takes the gradient.
    """
    returns, old_values = returns.detach(), old_values.detach()
    plain = (values - returns).square()
    clipped = (old_values + (values - old_values).clamp(-clip, clip) - returns).square()
    loss = 0.5 * (weights * torch.maximum(plain, clipped)).sum()
    return loss, {
        "value_loss": float(loss.detach()),
        "value_clip_share": float((weights * (clipped > plain)).sum()),
    }
