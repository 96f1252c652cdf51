"""How a pre-training run goes, decided before its first step and kept: a resumed run must follow the same schedule."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from transformers import PreTrainedModel

from sartor.base.console import say, warn
from sartor.base.distributed import from_main, world_size
from sartor.base.run_folder import RunFolder
from sartor.recipes.pretrain_model import Beginning, num_weights
from sartor.recipes.pretrain_settings import PretrainSettings
from sartor.recipes.pretrain_speed import PretrainSpeed, measure_speed
from sartor.recipes.pretrain_text import Text
from sartor.train.horizon import Course, Derived, Wishes, plan_course
from sartor.train.loop import Evaluate, LoopSettings, LossOf, evaluation_mode, training_mode

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
    begun: float,
) -> RunPlan:
    """Steps, batch and rate from the model's size, the text there is and the time allowed, told with their sources.
    What the run has taken before them, since `begun` (of `time.monotonic`), is part of that time."""
    (known,) = from_main([(folder.path / PLAN_FILE).is_file()])
    if known:
        return _read_plan(folder)
    with training_mode(model), evaluation_mode(model):
        started = time.monotonic()
        before = evaluate(model)
        evaluation_seconds = time.monotonic() - started
    tried = measure_speed(config, model, text.trial_batches((TRIED_BATCHES + 1) * world_size()), loss_of)
    spent = time.monotonic() - begun
    values = from_main([tried.token_seconds, tried.update_seconds, evaluation_seconds, spent, *before.values()])
    speed, (evaluation_seconds, spent) = PretrainSpeed(*values[:2]), values[2:4]

    def course_of(most_tokens: int | None) -> Course:
        wishes = Wishes(config.num_tokens, config.batch_tokens, config.learning_rate, most_tokens, beginning.continues)
        return plan_course(num_weights(model), text.num_train_tokens, beginning.window_tokens, wishes)

    left = None
    if config.max_minutes is not None:
        left = config.max_minutes * 60 - spent - config.evaluations * evaluation_seconds
    course = speed.course_within(left, course_of)
    tell((*beginning.derived(model), *course.derived))
    if course.warning is not None:
        warn(course.warning)
    every = max(1, -(-course.num_steps // config.evaluations))
    seconds = speed.seconds(course) + -(-course.num_steps // every) * evaluation_seconds
    plan = RunPlan(course, every, seconds, dict(zip(before, values[4:], strict=True)))
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


def _read_plan(folder: RunFolder) -> RunPlan:
    record = folder.read_json(PLAN_FILE)
    course = dict(record["course"])
    course["derived"] = tuple(Derived(**each) for each in course["derived"])
    return RunPlan(Course(**course), record["evaluate_every"], record["seconds"], record["before"])
