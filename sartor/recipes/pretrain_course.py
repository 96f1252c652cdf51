"""How a pre-training run goes, decided before its first step and kept: a resumed run must follow the same schedule."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from torch import nn
from transformers import PreTrainedModel

from sartor.base.console import say
from sartor.base.device import device
from sartor.base.distributed import from_main, world_size
from sartor.base.run_folder import RunFolder
from sartor.recipes.pretrain_model import Beginning, num_weights
from sartor.recipes.pretrain_settings import PretrainSettings
from sartor.recipes.pretrain_text import Text
from sartor.train.horizon import Course, Derived, Wishes, plan_course
from sartor.train.loop import Evaluate, LoopSettings, LossOf, evaluation_mode, training_mode
from sartor.train.parallel import deal

PLAN_FILE = "plan.json"
TRIED_BATCHES = 3  # micro-batches whose time tells the run's; one more warms up


@dataclass(frozen=True)
class RunPlan:
    """`seconds` is the expected time, `evaluate_every` in steps, `before` the held-out measures of the first model."""

    course: Course
    evaluate_every: int
    seconds: float
    before: dict[str, float]


def decide_course(
    config: PretrainSettings,
    folder: RunFolder,
    beginning: Beginning,
    text: Text,
    model: PreTrainedModel,
    loss_of: LossOf,
    evaluate: Evaluate,
) -> RunPlan:
    """Steps, batch and rate from the model's size, the text there is and the time allowed, told with their sources."""
    (known,) = from_main([(folder.path / PLAN_FILE).is_file()])
    if known:
        return _read_plan(folder)
    with training_mode(model), evaluation_mode(model):
        started = time.monotonic()
        before = evaluate(model)
        evaluation_seconds = time.monotonic() - started
    token_seconds = _token_seconds(config, text, model, loss_of)
    most = None
    if config.max_minutes is not None:
        left = config.max_minutes * 60 - (config.evaluations + 1) * evaluation_seconds
        most = max(1, int(left / token_seconds))
    values = from_main([token_seconds, evaluation_seconds, 0 if most is None else most, *before.values()])
    token_seconds, evaluation_seconds = values[:2]
    wishes = Wishes(
        tokens=config.num_tokens,
        batch_tokens=config.batch_tokens,
        learning_rate=config.learning_rate,
        most_tokens=int(values[2]) or None,
        continues=beginning.continues,
    )
    course = plan_course(num_weights(model), text.num_train_tokens, beginning.window_tokens, wishes)
    tell((*beginning.derived(model), *course.derived))
    every = max(1, -(-course.num_steps // config.evaluations))
    seconds = course.tokens * token_seconds + -(-course.num_steps // every) * evaluation_seconds
    plan = RunPlan(course, every, seconds, dict(zip(before, values[3:], strict=True)))
    record = asdict(plan) | {
        "num_steps": course.num_steps,
        "model": [asdict(each) for each in beginning.derived(model)],
    }
    folder.write_json(PLAN_FILE, record)
    return plan


def tell(derived: Sequence[Derived]) -> None:
    """Every derived value with its source, a line each."""
    width = max(len(each.name) for each in derived)
    for each in derived:
        say(f"{each.name:<{width}}  {each.shown:>13}  {each.source}")


def loop_settings(config: PretrainSettings, plan: RunPlan) -> LoopSettings:
    return LoopSettings(
        num_steps=plan.course.num_steps,
        learning_rate=plan.course.learning_rate,
        warmup_steps=plan.course.warmup_steps,
        schedule=config.schedule,
        decay_share=config.decay_share,
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        evaluate_every=plan.evaluate_every,
        save_every=plan.evaluate_every,
        seed=config.seed,
        optimizer=config.optimizer,
        beta2=config.beta2,
        accept_changed_environment=config.accept_changed_environment,
    )


def _token_seconds(config: PretrainSettings, text: Text, model: nn.Module, loss_of: LossOf) -> float:
    """Seconds a trained token takes, over all processes together: real forward and backward passes, no update."""
    batches = text.trial_batches((TRIED_BATCHES + 1) * world_size())
    with training_mode(model):
        began, tokens = 0.0, 0
        for number, (batch, _) in enumerate(deal(batches)):
            if number == 1:
                began, tokens = time.monotonic(), 0
            loss, _ = loss_of(model, batch.to(device()), batch.num_units)
            loss.backward()  # type: ignore[no-untyped-call]
            tokens += batch.num_row_tokens
    seconds = time.monotonic() - began
    model.zero_grad(set_to_none=True)
    return seconds / tokens / world_size()


def _read_plan(folder: RunFolder) -> RunPlan:
    record = folder.read_json(PLAN_FILE)
    course = dict(record["course"])
    course["derived"] = tuple(Derived(**each) for each in course["derived"])
    return RunPlan(Course(**course), record["evaluate_every"], record["seconds"], record["before"])
