"""Bradley-Terry loss of a reward model: the chosen answer of a pair should score higher than the rejected one."""

from torch import Tensor
from torch.nn import functional


def bradley_terry_loss(
    chosen: Tensor, rejected: Tensor, num_pairs: int, margins: Tensor | None = None, centering: float = 0.0
) -> tuple[Tensor, dict[str, float]]:
    """Σ [-log σ(chosen - rejected - margin) + centering · (chosen + rejected)²] / `num_pairs`, where `num_pairs`
    counts the pairs of the whole accumulated step.

    chosen, rejected [P]: rewards of one micro-batch's answers, pair by pair. margins [P]: by how much the chosen answer
    should at least lead, as Llama 2 (2307.09288, equation 2) takes it from how sure the annotators were. `centering`
    (2312.09244) holds the mean of a pair's rewards near zero, which the differences alone leave open.

    -> (this micro-batch's share of the loss, metrics to be summed over the step). A tie counts as half right in
    `accuracy`; `margin` is the mean of chosen - rejected, whatever was asked for.
    """
    gap = chosen - rejected
    losses = -functional.logsigmoid(gap if margins is None else gap - margins)
    if centering != 0.0:
        losses = losses + centering * (chosen + rejected).square()
    loss = losses.sum() / num_pairs
    shares = {"accuracy": (gap.sign() + 1) / 2, "margin": gap, "chosen_reward": chosen, "rejected_reward": rejected}
    sums = {name: float(values.detach().sum()) / num_pairs for name, values in shares.items()}
    return loss, {"loss": float(loss.detach()), **sums}
