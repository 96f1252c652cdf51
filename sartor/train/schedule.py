"""Learning-rate schedules: pure functions of the step."""

import math
from typing import Literal

ScheduleName = Literal["cosine", "linear", "constant"]


def learning_rate_factor(name: ScheduleName, step: int, num_steps: int, warmup_steps: int, floor: float = 0.0) -> float:
    """The share of the peak rate at `step` (0-based) of `num_steps`: linear warm-up, then decay to `floor`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if name == "constant":
        return 1.0
    progress = min((step - warmup_steps) / max(num_steps - warmup_steps, 1), 1.0)
    decay = 0.5 * (1 + math.cos(math.pi * progress)) if name == "cosine" else 1 - progress
    return floor + (1 - floor) * decay
