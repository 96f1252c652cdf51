"""`sartor pretrain`."""

import argparse

from sartor.base.console import format_seconds
from sartor.base.distributed import is_main
from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json
from sartor.cli.plan import format_bytes
from sartor.recipes.pretrain import PretrainConfig


def add_options(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, PretrainConfig, positional=("data",))
    add_common(parser, json=True, config=True, dry_run=True)


def run(args: argparse.Namespace) -> None:
    config = settings_from(args, PretrainConfig)
    if args.dry_run:
        _plan(config, args.json)
        return
    from sartor.recipes.pretrain import run as pretrain

    result = pretrain(config)
    if not is_main():
        return
    if args.json:
        print_json(result.as_dict())
        return
    print(
        f"{result.trained}: {result.bits_per_byte_before:.3f} -> {result.bits_per_byte:.3f} bits a byte of held-out "
        f"text in {result.steps:,} steps, {format_seconds(result.seconds)}"
    )
    print(f"what it writes: {result.out}/samples.json; teach it to talk: sartor finetune ROWS --base {result.out}")


def _plan(config: PretrainConfig, json: bool) -> None:
    from sartor.recipes.pretrain_trial import try_pretraining

    trial = try_pretraining(config)
    if json:
        print_json(trial.as_dict())
        return
    for each in trial.derived:
        print(f"{each.name:<32} {each.shown:>14}  {each.source}")
    print(f"{'memory at its peak':<32} {format_bytes(trial.peak_bytes):>14}  measured on one step")
    print(f"{'tokens a second':<32} {trial.tokens_per_second:>14,.0f}  measured on one step")
    print(f"{'time':<32} {format_seconds(trial.seconds):>14}  without turning texts into tokens")
    print(f"{'disk':<32} {format_bytes(trial.disk_bytes):>14}  tokens, two checkpoints, the model")
