"""How quickly a pre-training run goes, tried with real passes and updates, and how long a course some time allows."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from sartor.base.device import device
from sartor.base.distributed import world_size
from sartor.data.packing import MicroBatch
from sartor.recipes.pretrain_settings import PretrainSettings
from sartor.train.horizon import Course
from sartor.train.loop import LossOf, training_mode
from sartor.train.optimizer import Optimizer, gradient_norm
from sartor.train.parallel import deal, sum_gradients


@dataclass(frozen=True)
class PretrainSpeed:
    """`token_seconds` of a token forward and backward, over all processes together; `update_seconds` of what a step
    takes beside that, however many tokens it has."""

    token_seconds: float
    update_seconds: float

    def seconds(self, course: Course) -> float:
        """What the steps of a course take."""
        return course.tokens * self.token_seconds + course.num_steps * self.update_seconds

    def tokens_per_second(self, course: Course) -> float:
        return course.tokens / self.seconds(course)

    def course_within(self, seconds: float | None, course_of: Callable[[int | None], Course]) -> Course:
        """What `course_of` makes of the most tokens that may be read (None: no limit), so that its steps take no more
        than the seconds; one step at least. Fewer tokens make for smaller steps and so for more updates a token, which
        is why it is asked again until the time is kept."""
        course = course_of(None)
        while seconds is not None and self.seconds(course) > seconds and course.num_steps > 1:
            course = course_of(max(1, int(seconds * self.tokens_per_second(course))))
        return course


def measure_speed(
    config: PretrainSettings, model: nn.Module, batches: Sequence[MicroBatch], loss_of: LossOf
) -> PretrainSpeed:
    """Tried on micro-batches of full size, at least two a process; the first pass and the first update warm up and are
    not counted. The weights stay as they are, to the bit."""
    (first, _), *others = [(batch.to(device()), counts) for batch, counts in deal(batches)]
    with training_mode(model), Optimizer(model, config.optimizer, config.weight_decay, config.beta2) as optimizer:
        _pass(model, first, loss_of)
        _update(optimizer, config.clip_norm)
        began = _now()
        for batch, _ in others:
            _pass(model, batch, loss_of)
        passes_seconds = _now() - began
        update_seconds = _update(optimizer, config.clip_norm)
    tokens = sum(batch.num_row_tokens for batch, _ in others) * world_size()
    return PretrainSpeed(passes_seconds / tokens, update_seconds)


def _pass(model: nn.Module, batch: MicroBatch, loss_of: LossOf) -> None:
    loss, _ = loss_of(model, batch, batch.num_units)
    loss.backward()  # type: ignore[no-untyped-call]


def _update(optimizer: Optimizer, clip_norm: float) -> float:
    """Seconds of an update as the loop makes it. Gradients of zero at a rate of zero change nothing, even where those
    of the passes were not finite, which the loop is to find."""
    masters = optimizer.weights.masters.values()
    for master in masters:
        master.grad = torch.zeros_like(master)
    began = _now()
    sum_gradients(optimizer.weights)
    norm = gradient_norm(optimizer.weights)
    torch.nn.utils.clip_grads_with_norm_(masters, clip_norm, norm)
    optimizer.step(0.0)
    return _now() - began


def _now() -> float:
    """The time at which all that was asked of the device is done."""
    if device().type == "cuda":
        torch.cuda.synchronize()
    return time.monotonic()
