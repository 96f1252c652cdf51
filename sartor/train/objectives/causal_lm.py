"""Next-token cross-entropy: the loss of pre-training and, with a mask, of fine-tuning."""

from torch import Tensor


def causal_lm_loss(log_probs: Tensor, num_trained: int) -> tuple[Tensor, dict[str, float]]:
    """-Σ log p / `num_trained`, where `num_trained` counts the trained tokens of the whole accumulated step,
    so that the gradient does not depend on how the step is cut into micro-batches.

    log_probs [N] of one micro-batch -> (this micro-batch's share of the loss, metrics to be summed over the step).
    """
    loss = -log_probs.sum() / num_trained
    return loss, {"loss": float(loss.detach())}
