"""Learning-rate schedules: pure functions of the step."""

import math
from typing import Literal

ScheduleName = Literal["cosine", "linear", "wsd", "constant"]
DecayShape = Literal["sqrt", "linear"]
DECAY_SHARE = 0.2  # of all steps: where 2405.18392 (section 4) finds that longer decays gain little


def learning_rate_factor(
    name: ScheduleName,
    step: int,
    num_steps: int,
    warmup_steps: int,
    floor: float = 0.0,
    decay_share: float = DECAY_SHARE,
    decay_shape: DecayShape = "sqrt",
) -> float:
    """The share of the peak rate at `step` (0-based) of `num_steps`: linear warm-up, then decay to `floor`.

    `wsd` (warm-up, stable, decay) stays at the peak until the last `decay_share` of all steps, in which the rate falls
    as 1 - sqrt(progress) (Hägele et al., 2405.18392) or, with `linear`, as 1 - progress. So a run may be prolonged
    from any of its stable steps.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if name == "constant":
        return 1.0
    begin = warmup_steps
    if name == "wsd":
        begin = max(warmup_steps, num_steps - round(decay_share * num_steps))
    if step < begin:
        return 1.0
    progress = min((step - begin) / max(num_steps - begin, 1), 1.0)
    return floor + (1 - floor) * _left(name, progress, decay_shape)


def _left(name: ScheduleName, progress: float, decay_shape: DecayShape) -> float:
    """What is left of the way down to the floor, 1 to 0."""
    if name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if name == "wsd" and decay_shape == "sqrt":
        return 1 - math.sqrt(progress)
    return 1 - progress
