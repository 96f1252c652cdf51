"""What the training verbs have in common: `--dry-run`, and what is printed of a result."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sartor.base.console import format_seconds
from sartor.base.distributed import is_main
from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json
from sartor.cli.plan import show
from sartor.recipes.plan import PlanOptions
from sartor.recipes.settings import TrainingConfig

if TYPE_CHECKING:
    from sartor.recipes.stage import TrainingResult

ConfigType = TypeVar("ConfigType", bound=TrainingConfig)


def add_training_options(parser: argparse.ArgumentParser, config: type[TrainingConfig]) -> None:
    add_settings(parser, config, positional=("data",))
    add_common(parser, json=True, config=True, dry_run=True)


def train(
    args: argparse.Namespace, kind: type[ConfigType], run: Callable[[ConfigType], "TrainingResult"], use: str
) -> None:
    """Run as the options ask, or only plan, and print what came of it; `use` is what to do with it next."""
    config = settings_from(args, kind)
    out: str = config.out  # type: ignore[attr-defined]
    if args.dry_run:
        show(config, PlanOptions(), Path(out), args.json)
        return
    result = run(config)
    if not is_main():
        return
    if args.json:
        print_json(result.as_dict())
        return
    accuracy = result.quality.get("accuracy")
    if isinstance(accuracy, dict):
        accuracy = accuracy["mean"]  # given with its interval
    right = f", {accuracy:.1%} of held-out pairs right" if isinstance(accuracy, float) else ""
    print(
        f"{result.trained}: held-out loss {result.dev_loss_before:.3f} -> {result.dev_loss:.3f}{right} "
        f"in {result.steps} steps, {format_seconds(result.seconds)}"
    )
    print(use.format(out=result.out))
