"""How many steps a run makes, and when it stops to evaluate: arithmetic that the run and its plan share."""

from sartor.recipes.settings import TrainingConfig

PROBE_STEPS = 3  # a run tries so many steps before its first one, to know its speed
EVALUATION_SHARE = 0.2  # of a limited time goes to held-out losses at most


def epochs_steps(config: TrainingConfig, steps_per_epoch: int) -> int:
    """Steps for the epochs asked for."""
    return max(1, round(config.epochs * steps_per_epoch))


def schedule(
    config: TrainingConfig,
    steps_per_epoch: int,
    step_seconds: float,
    evaluation_seconds: float,
    spent_seconds: float = 0.0,
) -> tuple[int, int]:
    """How many steps to take, and every how many of them to evaluate: for the epochs asked for, or within what
    `spent_seconds` have left of `max_minutes`, of which EVALUATION_SHARE at most goes to evaluations."""
    num_steps, evaluations = epochs_steps(config, steps_per_epoch), config.evaluations
    if config.max_minutes is not None:
        seconds = max(config.max_minutes * 60 - spent_seconds, 0.0)
        evaluations = max(1, min(evaluations, int(EVALUATION_SHARE * seconds / evaluation_seconds)))
        num_steps = min(num_steps, max(1, int((seconds - evaluations * evaluation_seconds) / step_seconds)))
    return num_steps, max(1, -(-num_steps // evaluations))
