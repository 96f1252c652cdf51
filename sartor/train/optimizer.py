"""The optimizer, and its state as plain named tensors (no pickle)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Trainable = Mapping[str, nn.Parameter]


def adamw(trainable: Trainable, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, 1711.05101) on float32 parameters; the rate is set before each step."""
    return torch.optim.AdamW(list(trainable.values()), lr=0.0, weight_decay=weight_decay, foreach=True)


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def optimizer_tensors(optimizer: torch.optim.Optimizer, trainable: Trainable) -> dict[str, Tensor]:
    """Every state tensor as `<state>:<parameter name>`."""
    return {
        f"{key}:{name}": value.detach().clone()
        for name, parameter in trainable.items()
        for key, value in optimizer.state[parameter].items()
    }


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, trainable: Trainable, tensors: Mapping[str, Tensor]
) -> None:
    """Restore what `optimizer_tensors` gave."""
    for label, value in tensors.items():
        key, _, name = label.partition(":")
        parameter = trainable[name]
        optimizer.state[parameter][key] = value.clone() if key == "step" else value.to(parameter.device).clone()


def global_norm(trainable: Trainable) -> Tensor:
    """The Euclidean norm of all gradients together."""
    grads = [parameter.grad for parameter in trainable.values() if parameter.grad is not None]
    norm: Tensor = torch.nn.utils.get_total_norm(grads)
    return norm
