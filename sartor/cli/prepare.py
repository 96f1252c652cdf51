"""`sartor prepare`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sartor.base.console import format_seconds
from sartor.base.errors import UsageError
from sartor.cli.options import add_common, add_settings, settings_from, some_text, whole_number
from sartor.cli.output import print_json
from sartor.recipes.prepare import PrepareResult
from sartor.recipes.prepare import run as prepare
from sartor.recipes.prepare_plan import run as plan
from sartor.recipes.prepare_settings import PrepareConfig

if TYPE_CHECKING:
    from sartor.recipes.prepare_plan import PreparePlan

SHOWN_CHARACTERS = 400


def add_options(parser: argparse.ArgumentParser) -> None:
    in_files_only = ["thresholds", "duplicate_rules", "decontamination_rule"]
    add_settings(parser, PrepareConfig, positional=["documents"], skip=in_files_only)
    add_common(parser, json=True, config=True, dry_run=True)
    browse = parser.add_argument_group("browse what was dropped")
    browse.add_argument("--show-rejects", type=Path, metavar="FOLDER", help="show documents that were dropped there")
    browse.add_argument("--reason", type=some_text, help="only those that were dropped for this reason")
    browse.add_argument("-n", dest="most", type=whole_number(1), metavar="N", help="at most so many (default: 10)")


def run(args: argparse.Namespace) -> None:
    if args.show_rejects is not None:
        show_rejects(args)
        return
    if args.reason or args.most:
        raise UsageError("--reason and -n are for --show-rejects", hint="sartor prepare --show-rejects FOLDER -n 10")
    config = settings_from(args, PrepareConfig)
    if args.dry_run:
        show_plan(plan(config), args.json)
        return
    result = prepare(config)
    if args.json:
        print_json(result.as_dict())
        return
    for line in summary(result):
        print(line)


def summary(result: PrepareResult) -> list[str]:
    """What came of it, in lines for a person."""
    from sartor.base.durable import format_bytes

    counts, record = result.record["counts"], result.record
    parts = f" in {counts['written']:,} parts" if counts["written"] != counts["kept"] else ""
    text = format_bytes(record["after"]["text_bytes"])
    whole = f"{counts['kept']:,} kept + {counts['dropped']:,} dropped + {counts['errors']:,} errors"
    lines = [
        f"{result.out}: {counts['kept']:,} documents kept{parts}, {text} of text, {format_seconds(result.seconds)}",
        f"{counts['given']:,} given = {whole}",
    ]
    for step in record["steps"]:
        if step["dropped"]:
            reasons = ", ".join(f"{number:,} {reason}" for reason, number in step["dropped"].items())
            lines.append(f"  {step['name']}: {reasons}")
    lines += [f"could not be read: {name}: {problem}" for name, problem in record["problems"].items()]
    lines.append(f"report: {result.out / 'report.html'}")
    return [*lines, f"what was dropped: sartor prepare --show-rejects {result.out}"]


def show_plan(found: "PreparePlan", json: bool) -> None:
    if json:
        print_json(asdict(found))
        return
    for line in found.lines():
        print(line)


def show_rejects(args: argparse.Namespace) -> None:
    from sartor.data.pipeline.rejects import read_rejects

    found = read_rejects(args.show_rejects, args.reason, args.most or 10)
    if args.json:
        print_json([reject.as_dict() for reject in found])
        return
    for reject in found:
        detail = f" ({reject.detail})" if reject.detail else ""
        print(f"{reject.id}: {reject.step}: {reject.reason}{detail}")
        text = " ".join(reject.text.split())
        print(f"    {text[:SHOWN_CHARACTERS]}{'…' if len(text) > SHOWN_CHARACTERS else ''}")
