"""`sartor choose`."""

import argparse
from pathlib import Path

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
    outcome = rescore(args.rescore) if args.rescore else choose(settings_from(args, ChooseConfig))
    if args.json:
        print_json(outcome.choice)
    else:
        print_outcome(outcome)


def print_outcome(outcome: Outcome) -> None:
    """Verdict, scores, report and serve command."""
    choice = outcome.choice
    print(f"verdict: {choice['verdict']}" + (f", {choice['choice']}" if choice["choice"] else ""))
    print(choice["why"])
    for path in sorted(choice["paths"], key=lambda path: -(path["score"] or 0)):
        low, high = path["ci"] or (0.0, 0.0)
        print(
            f"  {path['name']:<13} {path['score'] or 0:.3f}  [{low:.3f}, {high:.3f}]  "
            f"p50 {path['latency_p50_s']:.2f} s  set-up {path['setup_seconds']:.0f} s"
        )
    for sentence in choice["would_change"]:
        print(f"- {sentence}")
    print(f"report: {outcome.out / 'report.html'}")
    if choice["choice"]:
        print(f"serve it: sartor serve {outcome.out}")
