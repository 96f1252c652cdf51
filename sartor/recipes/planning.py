"""How long a run trains, decided before its first step."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from torch import nn

from sartor.base.console import say
from sartor.base.device import device
from sartor.base.distributed import from_main
from sartor.base.run_folder import RunFolder
from sartor.recipes.settings import TrainingConfig
from sartor.recipes.step_count import PROBE_STEPS, epochs_steps, schedule
from sartor.train.loop import Evaluate, LossOf, evaluation_mode, training_mode
from sartor.train.parallel import deal
from sartor.train.plan import EpochSource, Speed, StepSize, mean_tokens, step_sizes, typical_steps

PROBED_STEPS_LOOKED_AT = 100  # enough to know a step's mean size, quick enough for the beginning of a run


@dataclass(frozen=True)
class Plan:
    """How long to train, decided once and kept: a resumed run must follow the same schedule. `before` holds the
    held-out measures of the untrained model."""

    num_steps: int
    evaluate_every: int
    seconds: float
    before: dict[str, float]


def plan_steps(
    folder: RunFolder,
    model: nn.Module,
    source: EpochSource,
    loss_of: LossOf,
    evaluate: Evaluate,
    config: TrainingConfig,
    begun: float,
) -> Plan:
    """Steps for the epochs asked for, or as many as `max_minutes` allows at the speed measured on real steps. What the
    run has taken before them, since `begun` (of `time.monotonic`), is part of that time."""
    (known,) = from_main([(folder.path / "plan.json").is_file()])
    if known:
        return Plan(**folder.read_json("plan.json"))
    with training_mode(model), evaluation_mode(model):
        started = time.monotonic()
        before = evaluate(model)
        evaluation_seconds = time.monotonic() - started
    step_seconds = measure_step(model, source, loss_of, epochs_steps(config, source.steps_per_epoch))
    spent = time.monotonic() - begun
    num_steps, every = schedule(config, source.steps_per_epoch, step_seconds, evaluation_seconds, spent)
    if num_steps < epochs_steps(config, source.steps_per_epoch):
        say(
            f"{config.max_minutes:g} minutes allow {num_steps} of {epochs_steps(config, source.steps_per_epoch)} steps "
            f"({num_steps / source.steps_per_epoch:.1f} epochs)"
        )
    seconds = num_steps * step_seconds + num_steps / every * evaluation_seconds
    steps, every_steps, seconds, *measures = from_main([num_steps, every, seconds, *before.values()])
    plan = Plan(int(steps), int(every_steps), seconds, dict(zip(before, measures, strict=True)))
    folder.write_json("plan.json", asdict(plan))
    return plan


def measure_step(model: nn.Module, source: EpochSource, loss_of: LossOf, num_steps: int) -> float:
    """Seconds of an optimizer step, on average over the run: real forward and backward passes on the rows of steps of
    typical size, no update. The first one warms up and is not counted."""
    sizes = step_sizes(source, num_steps, PROBED_STEPS_LOOKED_AT)
    chosen = typical_steps(sizes, PROBE_STEPS - 1)
    seconds = []
    with training_mode(model):
        for size in [chosen[0], *chosen]:
            started = time.monotonic()
            _forward_and_backward(model, source, loss_of, size)
            seconds.append(time.monotonic() - started)
    return mean_seconds(chosen, seconds[1:], sizes)


def mean_seconds(measured: Sequence[StepSize], seconds: Sequence[float], sizes: Sequence[StepSize]) -> float:
    """Seconds a step of `sizes` takes on average, by what the measured ones took."""
    return Speed.of([size.tokens for size in measured], seconds).seconds_per_token * mean_tokens(sizes)


def _forward_and_backward(model: nn.Module, source: EpochSource, loss_of: LossOf, size: StepSize) -> None:
    batches = source.step(size.step)
    num_units = sum(batch.num_units for batch in batches)
    for batch, _ in deal(batches):
        loss, _ = loss_of(model, batch.to(device()), num_units)
        loss.backward()  # type: ignore[no-untyped-call]
    model.zero_grad(set_to_none=True)
