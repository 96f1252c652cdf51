"""`sartor choose`."""

import argparse
from pathlib import Path

from sartor.base.errors import UsageError
from sartor.choosing.choose import ChooseConfig, Outcome, rescore
from sartor.choosing.choose import run as choose
from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json


def add_options(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, ChooseConfig, positional=("task",))
    add_common(parser, json=True, config=True)
    parser.add_argument(
        "--rescore",
        type=Path,
        metavar="RUN",
        help="decide again from RUN's answers, with the task's present scorer and limits",
    )


def run(args: argparse.Namespace) -> None:
    outcome = _rescored(args) if args.rescore else choose(settings_from(args, ChooseConfig))
    if args.json:
        print_json(outcome.choice)
    else:
        print_outcome(outcome)


def _rescored(args: argparse.Namespace) -> Outcome:
    given = [name for name in ChooseConfig.model_fields if hasattr(args, name)] + ["config"] * bool(args.config)
    if given:
        raise UsageError(
            f"--rescore takes a run's own settings, so {given[0]} would not be used",
            where="--rescore",
            hint=f"sartor choose --rescore {args.rescore}",
        )
    return rescore(args.rescore)


def print_outcome(outcome: Outcome) -> None:
    """The report's first page, where the report is, and the command that serves the choice."""
    from sartor.choosing.report.terminal import outcome_lines

    for line in outcome_lines(outcome.choice):
        print(line)
    print(f"report: {outcome.out / 'report.html'}")
    endpoints = {path["name"]: path["endpoint"] for path in outcome.choice["paths"]}
    if outcome.choice["choice"]:
        print(f"use it: {endpoints[outcome.choice['choice']]}")
