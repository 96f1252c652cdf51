"""`sartor find-lr`."""

import argparse
from typing import Any

from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json
from sartor.recipes.find_lr import FindLrConfig
from sartor.recipes.find_lr import run as find_lr

# How a run's rate falls, what is measured meanwhile, and where it goes on do not change which rate is found.
WITHOUT_EFFECT = (
    *("schedule", "evaluations", "patience", "task", "best_by"),
    *("parallel", "accept_changed_environment"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, FindLrConfig, positional=("data",), skip=WITHOUT_EFFECT)
    add_common(parser, json=True, config=True)


def run(args: argparse.Namespace) -> None:
    found = find_lr(settings_from(args, FindLrConfig))
    if args.json:
        print_json(found.as_json)
        return
    print(f"{'rate':>8}  {'steps':>6}  {'held-out loss':>13}  {'behind the best':>17}  state")
    for each in found.rates:
        loss = "-" if each["held_out_loss"] is None else f"{each['held_out_loss']:.4f}"
        print(f"{each['rate']:>8.2g}  {each['steps'] or '-':>6}  {loss:>13}  {_behind(each):>17}  {each['state']}")
    print()
    for note in found.notes:
        print(note)
    if found.out is not None:
        print(f"page: {found.out}")
    print(f"take: --learning-rate {found.learning_rate:.2g}")


def _behind(each: dict[str, Any]) -> str:
    if each["behind"] is None or each["state"] == "best":
        return ""
    return f"{each['behind']:+.4f}" + ("" if each["noise"] is None else f" ±{each['noise']:.4f}")
