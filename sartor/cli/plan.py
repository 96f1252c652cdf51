"""`sartor plan`."""

import argparse
import shutil
from pathlib import Path

from sartor.base.console import format_seconds
from sartor.base.errors import QualityError
from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json
from sartor.recipes.measured import Measured
from sartor.recipes.plan import Estimate, PlanConfig, PlanOptions, RunPlan, plan_of
from sartor.recipes.settings import TrainingConfig


def add_options(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, PlanConfig, positional=("data",))
    add_common(parser, json=True, config=True)


def run(args: argparse.Namespace) -> None:
    config = settings_from(args, PlanConfig)
    show(config, config, Path.cwd(), args.json)


def show(config: TrainingConfig, options: PlanOptions, folder: Path, json: bool) -> None:
    """Print the plan of a run that would be written to `folder`. QualityError (exit code 4) when it does not fit."""
    found = plan_of(config, options)
    if json:
        print_json(found.as_dict())
    else:
        print(as_text(found, folder))
    if found.fits:
        return
    would = next((each.options for each in found.alternatives if each.fits), None)
    raise QualityError(
        "the run does not fit into memory",
        hint=f"add {would}" if would else "take a smaller model or a machine with more memory",
    )


def format_bytes(number: float) -> str:
    """`1.25 GB` or `34 MB`."""
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def as_text(plan: RunPlan, folder: Path) -> str:
    """The plan for people; `folder` is where the run would be written."""
    lines: list[str] = []
    if plan.measured is not None and plan.estimate is not None:
        lines += _work_lines(plan.measured, plan.estimate)
        lines += _memory_lines(plan.measured)
        lines += _time_lines(plan.measured, plan.estimate, folder)
    lines += _verdict_lines(plan)
    return "\n".join(lines)


def _work_lines(measured: Measured, whole: Estimate) -> list[str]:
    work = measured.work
    share = work.trained_parameters / work.parameters
    epochs = whole.steps / work.steps_per_epoch
    return [
        f"parameters  {work.parameters:,}, {work.trained_parameters:,} of them trained ({share:.2%})",
        f"rows        {work.rows:,}, {work.epoch_row_tokens:,} tokens, {work.epoch_trained_tokens:,} of them learnt",
        f"steps       {whole.steps:,} ({epochs:.1f} epochs), {whole.steps * work.step_row_tokens:,.0f} tokens, "
        f"{whole.steps * work.step_trained_tokens:,.0f} of them learnt",
        f"worst batch {work.worst_tokens:,} tokens of {work.worst_rows} rows at once (step {work.worst_step + 1}); "
        f"at most {work.worst_trained_tokens:,} learnt at once",
    ]


def _memory_lines(measured: Measured) -> list[str]:
    memory = measured.memory
    parts = {
        "weights": memory.weights,
        "float32 copies of what is trained": memory.masters,
        "gradients": memory.gradients,
        "optimizer state": memory.optimizer_state,
        "activations and work space": memory.activations,
        "copy of the best weights": memory.best,
    }
    lines = [f"memory      {format_bytes(memory.peak)} at its peak, on {memory.device}"]
    lines += [f"  {name:<34} {format_bytes(size)}" for name, size in parts.items()]
    return lines + [f"  peak of {phase:<26} {format_bytes(size)}" for phase, size in memory.phases.items()]


def _time_lines(measured: Measured, whole: Estimate, folder: Path) -> list[str]:
    times = measured.times
    answers = f" ({format_seconds(times.generation)} of it answers)" if times.generation else ""
    place = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.is_dir())
    lines = [
        f"time        {format_seconds(whole.seconds)}, between {format_seconds(whole.seconds_least)} and "
        f"{format_seconds(whole.seconds_most)} by the quickest and slowest of {times.steps_tried} steps measured",
        f"  start {format_seconds(times.start + times.beforehand)}, "
        f"step {format_seconds(times.token * measured.work.step_tokens)}, "
        f"evaluation {format_seconds(times.evaluation)}{answers}, checkpoint {format_seconds(times.checkpoint)}",
        f"speed       {whole.tokens_per_second:,.0f} tokens/s",
        f"disk        {format_bytes(whole.disk_bytes)} of {format_bytes(shutil.disk_usage(place).free)} free",
        f"energy      {whole.watt_hours:.2f} Wh ({times.watts_source})",
    ]
    return lines if whole.cost is None else [*lines, f"cost        {whole.cost:.2f} at the price given"]


def _verdict_lines(plan: RunPlan) -> list[str]:
    limit = "memory" if plan.limit_bytes is None else f"{format_bytes(plan.limit_bytes)} of memory"
    if plan.fits:
        return [f"verdict     it fits into {limit}"]
    lines = [f"verdict     it does not fit into {limit}"]
    for each in plan.alternatives:
        found = "not measured" if each.peak_bytes is None else format_bytes(each.peak_bytes)
        note = "fits" if each.fits else each.problem or "does not fit"
        lines.append(f"  with {each.options}: {found}, {note}")
    return lines
