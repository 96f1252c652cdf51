"""What the verbs of reinforcement learning have in common."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from sartor.base.console import format_seconds
from sartor.base.errors import QualityError
from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json
from sartor.cli.plan import format_bytes
from sartor.recipes.rl_plan import BatchSeconds, RolloutPlan, plan_rollouts
from sartor.recipes.rl_settings import RolloutSettings

if TYPE_CHECKING:
    from sartor.recipes.rl import RolloutResult

ConfigType = TypeVar("ConfigType", bound=RolloutSettings)


def add_rollout_options(parser: argparse.ArgumentParser, config: type[RolloutSettings]) -> None:
    add_settings(parser, config, positional=("data",))
    add_common(parser, json=True, config=True, dry_run=True)


def learn(args: argparse.Namespace, kind: type[ConfigType], run: Callable[[ConfigType], "RolloutResult"]) -> None:
    """Run as the options ask, or only plan, and print what came of it."""
    config = settings_from(args, kind)
    if args.dry_run:
        show(plan_rollouts(config), args.json)
        return
    result = run(config)
    if args.json:
        print_json(result.as_dict())
        return
    print(
        f"{result.trained}: held-out reward {result.dev_reward_before:.3f} -> {result.dev_reward:.3f}, "
        f"{result.gain()} in {result.steps} steps, {format_seconds(result.seconds)}"
    )
    print(f"talk to it: sartor chat {result.out}")


def show(plan: RolloutPlan, json: bool) -> None:
    """Print the plan. QualityError (exit code 4) when the run does not fit."""
    if json:
        print_json(plan.as_dict())
    else:
        print(as_text(plan))
    if not plan.fits:
        raise QualityError(
            "the run does not fit into memory",
            hint="lower --micro-batch-tokens, --batch-rows, --answers or --max-new-tokens, or add --adapter qlora",
        )


def as_text(plan: RolloutPlan) -> str:
    """The plan for people."""
    found = plan.measured
    if found is None or plan.seconds is None or plan.seconds_most is None:
        return "verdict     it does not fit into memory: not even one batch of answers does"
    share = found.trained_parameters / found.parameters
    limit = format_bytes(found.available_bytes)
    lines = [
        f"parameters  {found.parameters:,}, {found.trained_parameters:,} of them trained ({share:.2%})",
        f"prompts     {found.prompts:,}, {found.held_out_prompts:,} held out",
        f"work        {plan.batches:,} batches of answers, {plan.steps:,} optimizer steps, "
        f"{plan.evaluations:,} evaluations",
        f"memory      {format_bytes(found.peak_bytes)} at its peak, on {found.device}, with the longest prompts and "
        "answers of full length",
        *(f"  peak of {phase:<26} {format_bytes(size)}" for phase, size in found.phases.items()),
        f"time        {format_seconds(plan.seconds)} with answers as long as now, "
        f"{format_seconds(plan.seconds_most)} with the longest prompts and answers",
        *(_batch_line(name, each) for name, each in (("batch now", found.usual), ("longest batch", found.worst))),
        f"  start {format_seconds(found.start_seconds)}, evaluation {format_seconds(found.evaluation_seconds)}, "
        f"checkpoint {format_seconds(found.checkpoint_seconds)}, result {format_seconds(found.result_seconds)}",
        f"disk        a checkpoint {format_bytes(found.checkpoint_bytes)}, result {format_bytes(found.result_bytes)}",
        f"verdict     it {'fits' if plan.fits else 'does not fit'} into {limit} of memory",
    ]
    return "\n".join(lines)


def _batch_line(name: str, batch: BatchSeconds) -> str:
    return (
        f"  {name}: sampling {format_seconds(batch.sampling)} ({batch.answer_tokens:,} tokens), "
        f"learning {format_seconds(batch.learning)} a pass"
    )
