"""`sartor finetune`."""

import argparse
from pathlib import Path

from sartor.base.distributed import is_main
from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json
from sartor.cli.plan import show
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.finetune import run as finetune
from sartor.recipes.plan import PlanConfig


def add_options(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, FinetuneConfig, positional=("data",))
    add_common(parser, json=True, config=True, dry_run=True)


def run(args: argparse.Namespace) -> None:
    from sartor.base.console import format_seconds

    config = settings_from(args, FinetuneConfig)
    if args.dry_run:
        show(PlanConfig(**config.shared_settings()), Path(config.out), args.json)
        return
    result = finetune(config)
    if not is_main():
        return
    if args.json:
        print_json({name: str(value) if name in ("out", "trained") else value for name, value in vars(result).items()})
        return
    print(
        f"{result.trained}: held-out loss {result.dev_loss_before:.3f} -> {result.dev_loss:.3f} "
        f"in {result.steps} steps, {format_seconds(result.seconds)}"
    )
    print(f"talk to it: sartor chat {result.out}")
