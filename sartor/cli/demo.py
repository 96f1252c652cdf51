"""`sartor demo`."""

import argparse
from pathlib import Path

import sartor
from sartor.choosing.choose import ChooseConfig
from sartor.choosing.choose import run as choose
from sartor.cli.choose import print_outcome
from sartor.cli.options import add_common
from sartor.cli.output import print_json

BUDGET = "6m"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="runs/demo", help="run folder to write (default: runs/demo)")
    parser.add_argument("--budget", default=BUDGET, help=f"time to fit all paths (default: {BUDGET})")
    add_common(parser, json=True)


def run(args: argparse.Namespace) -> None:
    task = Path(sartor.__file__).parent / "data" / "example"
    outcome = choose(ChooseConfig(task=str(task), out=args.out, budget=args.budget))
    if args.json:
        print_json(outcome.choice)
    else:
        print_outcome(outcome)
