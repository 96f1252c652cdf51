"""One number for a token: the head of a reward model and of a value function."""

import math

import torch
from torch import Tensor, nn


class ScalarHead(nn.Module):
    """score = w · state, without bias, in float32. Its start is N(0, 1 / (d + 1)) (The N+ Implementation Details of
    RLHF with PPO, 2403.17031), so that first scores are of the order of one."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, width) / math.sqrt(width + 1))

    def forward(self, states: Tensor) -> Tensor:
        """states [N, d] -> float32 [N]."""
        return (states.float() @ self.weight.t())[:, 0]
